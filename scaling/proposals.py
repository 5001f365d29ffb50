"""Which settings to try next: Optuna's TPE sampler, seeded so that a sweep can be repeated, and go on after a kill.

Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization".
"""

import json
import math
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from digits.params import ParamsError
from scaling.records import Record
from scaling.settings import Base, SpaceError, sections
from scaling.space import Choice, Domain, Space

_ATTEMPTS = 100  # to find settings that go together and were not tried yet
_DIGITS = 4  # that a number proposed has: enough to tell two apart, and short enough to read


class Proposals:
    """What was tried of a space, and what comes next.

    What is proposed for a trial depends on the seed, the trial's number, and what is known of other trials, and on
    nothing else. So with one worker a driver that is started anew proposes what the one before would have; with more it
    also depends on which are running.
    """

    def __init__(self, space: Space, base: Base, seed: int) -> None:
        self._space, self._base, self._seed = space, base, seed
        self._distributions = {name: distribution(domain) for name, domain in space.domains.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize")
        self._running: dict[int, Trial] = {}
        self._tried: set[str] = set()

    def propose(self, number: int) -> dict[str, Any] | None:
        """Settings for trial `number`; None if nothing is found that was not tried yet.

        Raises:
            SpaceError: nothing is found that goes together, either.
        """
        problem = None
        for attempt in range(_ATTEMPTS):
            seed = int(np.random.SeedSequence((self._seed, number, attempt)).generate_state(1)[0])
            # Said in full, since another version may have other defaults.
            self._study.sampler = Rounded(seed=seed, multivariate=False, constant_liar=True)
            trial = self._study.ask(self._distributions)
            settings = self._space.settings(trial.params)
            try:
                sections(settings, self._base)
            except ParamsError as error:
                problem = error
            else:
                if (text := json.dumps(settings)) not in self._tried:
                    self._tried.add(text)
                    self._running[number] = trial
                    return settings
            self._study.tell(trial, state=TrialState.FAIL)
        if problem and not self._tried:
            raise SpaceError(f"nothing in the space goes together: {problem}")
        return None

    def learn(self, record: Record) -> None:
        """Take in how a trial ended, whether it was proposed here or by a driver before."""
        trial = self._running.pop(int(record["trial"]), None)
        if trial is None:
            self._tried.add(json.dumps(record["settings"]))
            self._study.add_trial(self._ended(record))
            return
        for step, value in known(record).items():
            trial.report(value, step)
        if record["state"] == "finished":
            self._study.tell(trial, record["validation_accuracy"])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _ended(self, record: Record) -> FrozenTrial:
        finished = record["state"] == "finished"
        return create_trial(
            state=TrialState.COMPLETE if finished else TrialState.PRUNED,
            value=record["validation_accuracy"] if finished else None,
            params=self._space.values(record["settings"]),
            distributions=self._distributions,
            intermediate_values=known(record),
        )


def known(record: Record) -> dict[int, float]:
    """What was measured of a trial on its way, by step; nothing of one that failed, so that it ranks last.

    Optuna takes, of those that did not finish, the one that came farthest for the best.
    """
    return {} if record["state"] == "failed" else dict(enumerate(record["curve"], 1))


class Rounded(TPESampler):
    """TPE whose numbers have few digits, as people write them."""

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        """What depends on each other."""
        values = super().sample_relative(study, trial, search_space)
        return {name: rounded(search_space[name], value) for name, value in values.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One alone."""
        return rounded(param_distribution, super().sample_independent(study, trial, param_name, param_distribution))


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna knows it; of a choice, the position."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(range(len(domain.values)))
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def rounded(domain: BaseDistribution, value: Any) -> Any:
    """A number of `_DIGITS` digits, and within its ends."""
    if not isinstance(domain, FloatDistribution) or not math.isfinite(value):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), domain.low), domain.high)
