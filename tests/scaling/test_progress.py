from scaling.progress import Progress
from tests.scaling.test_records import ended


def test_where_nobody_watches_a_line_is_said_now_and_then(capfd):
    progress = Progress(20, [ended(0)])
    for number in range(1, 20):
        state = ("stopped", "failed", "finished")[number % 3]
        accuracy = None if state == "failed" else 0.9 + number / 1000
        progress.ended(ended(number, state=state, validation_accuracy=accuracy))
    progress.close()
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert len(lines) == 10
    assert lines[0].startswith("3/20 trials, best 0.9020 (00002), 1 failed, about 1 min to go")
    assert lines[-1] == "20/20 trials, best 0.9170 (00017), 6 stopped, 7 failed"


def test_the_best_is_the_best_of_those_that_finished(capfd):
    progress = Progress(2, [])
    progress.ended(ended(0, state="stopped", validation_accuracy=0.99))
    progress.ended(ended(1, validation_accuracy=0.9))
    out = capfd.readouterr().out.splitlines()
    assert out[0].startswith("1/2 trials, none finished, 1 stopped")
    assert out[1] == "2/2 trials, best 0.9000 (00001), 1 stopped"
