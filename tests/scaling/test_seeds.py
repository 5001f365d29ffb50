import subprocess
import sys
from pathlib import Path

import pytest

from scaling import seeds, warm
from scaling.seeds import SeedsError
from tests.scaling import lab

BETTER = {seed: 99.30 + seed % 4 / 100 for seed in range(8)}
WORSE = {seed: 99.10 + seed % 3 / 100 for seed in range(8)}


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Accuracies by commit, which nothing is trained for; None is the workspace."""
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)
    results: dict[str | None, dict[int, float | str]] = {None: dict(WORSE)}
    prepared: dict[Path, str | None] = {}

    def scores(folder, wanted, split):
        for seed in wanted:
            value = results[prepared[folder]][seed]
            yield value if isinstance(value, str) else round(value / 100, 6)

    monkeypatch.setattr(warm, "prepare", lambda commit, folder, split: prepared.update({folder: commit}))
    monkeypatch.setattr(warm, "scores", scores)
    return results


def ran(monkeypatch, capsys, *arguments: str) -> tuple[str, str]:
    """What was printed, and the progress."""
    monkeypatch.setattr(sys, "argv", ["seeds", *arguments])
    seeds.main()
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_of_the_workspace_mean_deviation_and_range(scored, monkeypatch, capsys):
    out, err = ran(monkeypatch, capsys, "--seeds=3")
    head, row = out.strip().splitlines()
    assert head.split() == ["validation", "accuracy", "mean", "deviation", "minimum", "maximum", "seeds"]
    assert row.split() == ["workspace", "99.110", "%", "0.010", "99.10", "%", "99.12", "%", "3"]
    assert len(err.splitlines()) == 3
    assert err.startswith("workspace, seed 0: 99.10 %")


def test_ctrl_c_is_no_error_of_ours(scored, monkeypatch, capsys):
    monkeypatch.setattr(warm, "scores", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit, match="130"):
        ran(monkeypatch, capsys)
    assert capsys.readouterr().err == "\ninterrupted; nothing is kept but what stands above\n"


def test_an_experiment_that_is_better_is_called_so(scored, monkeypatch, capsys):
    scored[lab.experiment("other")] = dict(BETTER)
    out, _ = ran(monkeypatch, capsys, "--experiment=other", "--against=workspace", "--seeds=8", "--split=test")
    assert "other - workspace, 8 pairs: +0.206 points (95 % interval +0.19" in out
    assert "sign-flip test, p = 0.0078)\nother is better, by more than seeds explain\n" in out
    assert out.strip().startswith("test accuracy")


def test_the_other_way_round_it_is_worse(scored, monkeypatch, capsys):
    scored[lab.experiment("other")] = dict(BETTER)
    out, _ = ran(monkeypatch, capsys, "--against=other", "--seeds=8")
    assert "workspace - other, 8 pairs: -0.206 points" in out
    assert "workspace is worse, by more than seeds explain" in out


def test_what_seeds_explain_is_no_difference(scored, monkeypatch, capsys):
    scored[lab.experiment("other")] = {seed: value + (-1) ** seed / 100 for seed, value in WORSE.items()}
    out, _ = ran(monkeypatch, capsys, "--experiment=other", "--against=workspace", "--seeds=8")
    assert out.strip().endswith("no difference that seeds would not explain")


def test_too_few_seeds_show_nothing(scored, monkeypatch, capsys):
    scored[lab.experiment("other")] = dict(BETTER)
    out, _ = ran(monkeypatch, capsys, "--experiment=other", "--against=workspace", "--seeds=5")
    assert "points; fewer than 6 pairs can show nothing: ask for more seeds" in out
    assert "better" not in out


def test_a_seed_that_fails_is_told_and_its_pair_left_out(scored, monkeypatch, capsys):
    scored[lab.experiment("other")] = dict(BETTER) | {2: "the loss became nan"}
    out, err = ran(monkeypatch, capsys, "--experiment=other", "--against=workspace", "--seeds=8")
    assert "other, seed 2: failed: the loss became nan" in err
    assert "other - workspace, 7 pairs: +0.20" in out
    assert [line.split()[-1] for line in out.splitlines() if "%  " in line] == ["7", "8"]
    assert "1 seed failed" in out


def test_where_no_seed_comes_to_an_end_there_is_nothing_to_say(scored, monkeypatch, capsys):
    scored[None] = dict.fromkeys(range(8), "the loss became nan")
    with pytest.raises(SeedsError, match="workspace: no seed came to an end; the last one said: the loss became nan"):
        ran(monkeypatch, capsys, "--seeds=3")


def test_a_name_that_is_none_is_said_before_anything_is_trained(scored, monkeypatch, capsys):
    with pytest.raises(Exception, match="'nothing' is no DVC experiment"):
        ran(monkeypatch, capsys, "--against=nothing")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["--seeds=1"], ["--seeds=many"], ["--split=train"]])
def test_what_can_t_be_asked_for_is_refused(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit):
        ran(monkeypatch, capsys, *arguments)
    assert arguments[0].partition("=")[0] in capsys.readouterr().err


def test_it_needs_neither_torch_nor_ray():
    script = "import scaling.seeds, scaling.keep, sys; print(*{'torch', 'ray', 'optuna', 'dvc'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
