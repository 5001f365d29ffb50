"""Trials on Ray Tune: Search says which, ASHA stops those that fall behind. Needs a connection to Ray."""

import tempfile
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import AsyncHyperBandScheduler

import scaling
from digits.errors import PipelineError
from scaling import space
from scaling.cluster import Cluster, Places
from scaling.nodes import Spec
from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import Description, Journal, Record
from scaling.search import NoWorkerError, Search
from scaling.settings import Base, sections
from scaling.trial import METRIC, TIME, Training, percent

REDUCTION = 3  # of the trials that get to a rung, the best third goes on
_PAUSE = 10.0  # seconds until a node that can't work hands a trial back, on a cluster


class TuningError(PipelineError):
    """Trials that can't run."""


def run_trials(
    wanted: Description,
    journal: Journal,
    spec: Spec,
    cluster: Cluster,
    progress: Progress,
    *,
    unfit: Iterable[str] = (),
    most: int | None = None,
) -> str | None:
    """Run what has no record yet.

    Args:
        wanted: what the sweep is.
        journal: its records.
        spec: code and data.
        cluster: the connected one.
        progress: what is said meanwhile.
        unfit: nodes that can't work, which was told already.
        most: trials at once at most, so that there is room for another sweep; None: as many as there is room for.

    Returns:
        which trials have no record, and why, if their workers ended again and again.

    Raises:
        PipelineError: no worker can work, the space has nothing that goes together, or a record can't be written.
    """
    found, base = space.parse(wanted["space"]), wanted["params"]
    proposals = Proposals(found, base, wanted["seed"])
    for record in journal.records:
        proposals.learn(record)
    pause = _PAUSE if cluster.address else 0.0
    search = Search(
        wanted["trials"], proposals, journal, progress, places=Places(cluster), unfit=unfit, most=most, pause=pause
    )
    ray.cloudpickle.register_pickle_by_value(scaling)  # type: ignore[no-untyped-call]  # workers may not have it yet
    hand_on_nothing()
    trainable = tune.with_parameters(Training, spec=spec, base=base, pause=pause)
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        tune.Tuner(
            tune.with_resources(trainable, {"CPU": cluster.cpus, "GPU": cluster.gpus}),
            tune_config=tune.TuneConfig(
                num_samples=-1,  # until Search says that it is finished
                search_alg=search,
                scheduler=stopping(found.objective, base, journal.records),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                stop=search,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return settle(search, wanted["trials"] - len(journal.records))


def hand_on_nothing() -> None:
    """Of the driver's environment, to workers. Tune would hand on AWS_SECRET_ACCESS_KEY; nodes have their own."""
    class_cache.ENV_VARS_TO_PROPAGATE = set()


def settle(search: Search, missing: int) -> str | None:
    """See to it that all was done; see `run_trials`. `missing` trials have no record.

    Raises:
        TuningError: no worker can work, or nobody knows why trials are missing.
    """
    if isinstance(search.problem, NoWorkerError):
        raise TuningError(f"no worker can run trials: {search.problem}")
    if search.problem:
        raise search.problem
    if search.lost:
        names = ", ".join(f"{number:05}" for number in sorted(search.lost))
        return (
            f"without a record: {names}, whose workers ended again and again, see above, for want of memory perhaps, "
            f"or of their nodes; these numbers are tried once more when the sweep goes on"
        )
    if search.exhausted:
        left = f"so {missing} trials were not run"
        print(f"nothing more was found in the space that fits and was not tried, {left}", flush=True)
    elif missing:
        raise TuningError(f"Ray Tune has ended, and {missing} trials have no record")
    return None


def stopping(objective: space.Objective, base: Base, records: list[Record]) -> "Halving | None":
    """What stops trials early. None does for the frontier: a small network is behind the large ones from the start."""
    return halving(base, records) if objective == "accuracy" else None


class Halving(AsyncHyperBandScheduler):
    """ASHA, which forgets what a trial measured whose worker is lost: it runs again, and would count twice."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial has lost its worker."""
        self._trial_info.pop(trial.trial_id, None)
        for bracket in self._brackets:
            for _, recorded in bracket._rungs:
                recorded.pop(trial.trial_id, None)


def halving(base: Base, records: list[Record]) -> Halving:
    """ASHA, which knows the records. The first rung is the share of the training at which one epoch has its first
    measurement, each further one three times later.

    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning".
    """
    validations = base["train"]["validations"]
    scheduler = Halving(
        time_attr=TIME,
        metric=METRIC,
        mode="max",
        max_t=100,
        grace_period=100 // validations,
        reduction_factor=REDUCTION,
    )
    for known in records:
        trial: Any = SimpleNamespace(trial_id=known["trial"])
        nobody: Any = None  # ASHA asks nothing of the controller
        scheduler.on_trial_add(nobody, trial)
        _, params = sections(known["settings"], base)
        for count, accuracy in enumerate(known["curve"], 1):
            scheduler.on_trial_result(nobody, trial, {TIME: percent(count, params), METRIC: accuracy})
        scheduler.on_trial_remove(nobody, trial)
    return scheduler
