"""What workers of a sweep answer, and what they were given."""


def result(outcome, curve=(0.8, 0.9), **more):
    return (
        {
            "outcome": outcome,
            "curve": list(curve),
            "loss": 0.5,
            "validation_accuracy": curve[-1] if curve else 0.0,
            "parameters": 10,
            "seconds": 1.0,
            "node": "a:1",
            "pid": 4711,
            "device": "cpu, AVX2",
            "error": None,
        }
        | {"place": more.get("node", "a:1")}
        | more
    )


def number(config) -> str:
    return config["trial"]
