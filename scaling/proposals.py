"""Which settings to try next: Optuna's TPE sampler, seeded so that a sweep can be repeated, and go on after a kill.

Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization".
"""

import contextlib
import itertools
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from digits.params import ParamsError
from scaling.records import Record
from scaling.settings import Base, SpaceError, parameter_count, sections
from scaling.space import Choice, Domain, Space

_ATTEMPTS = 100  # to find settings that go together and were not tried yet
_LEARNED = 20  # of them by what was learned, which may point to what is too large each time; the others by chance
_AT_FIRST = 10  # trials until something was learned
_COUNTED = 10_000  # settings that a space may have at most to be gone through one by one
_LEAST = 1e-5  # an error rate, for a logarithm needs something: where all images were right
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
        self._frontier = space.objective == "frontier"
        self._study = optuna.create_study(directions=["minimize", "minimize"] if self._frontier else ["maximize"])
        self._running: dict[int, Trial] = {}
        self._tried: set[str] = set()

    def propose(self, number: int) -> dict[str, Any] | None:
        """Settings for trial `number`; None if nothing is found that was not tried yet.

        Raises:
            SpaceError: nothing is found that goes together, either.
        """
        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            seed = int(np.random.SeedSequence((self._seed, number, attempt)).generate_state(1)[0])
            # Said in full, since another version may have other defaults.
            until = _AT_FIRST if attempt < _LEARNED else sys.maxsize
            self._study.sampler = Rounded(
                seed=seed, n_startup_trials=until, n_ei_candidates=24, multivariate=False, constant_liar=True
            )
            trial = self._study.ask(self._distributions)
            settings = self._space.settings(trial.params)
            try:
                self._hold(settings)
            except (ParamsError, SpaceError) as error:
                problem = error
            else:
                if (text := json.dumps(settings)) not in self._tried:
                    self._tried.add(text)
                    self._running[number] = trial
                    return settings
            self._study.tell(trial, state=TrialState.FAIL)
        if problem and not self._tried:
            raise SpaceError(f"nothing in the space goes together: {problem}")
        return self._left(number)

    def _left(self, number: int) -> dict[str, Any] | None:
        """Of a space that can be counted, something that was not tried yet: chance may miss what little is left."""
        values = {name: counted(domain) for name, domain in self._distributions.items()}
        if math.prod(map(len, values.values())) > _COUNTED:
            return None
        for chosen in itertools.product(*values.values()):
            parameters = dict(zip(values, chosen, strict=True))
            settings = self._space.settings(parameters)
            if (text := json.dumps(settings)) in self._tried:
                continue
            with contextlib.suppress(ParamsError, SpaceError):
                self._hold(settings)
                self._tried.add(text)
                self._study.enqueue_trial(parameters)
                self._running[number] = self._study.ask(self._distributions)
                return settings
        return None

    def _hold(self, settings: dict[str, Any]) -> None:
        """See to it that settings go together, and that the network is not too large."""
        model, _ = sections(settings, self._base)
        below = self._space.below
        if below is not None and (count := parameter_count(model)) >= below:
            raise SpaceError(f"{count:,} parameters, not below {below:,}")

    def learn(self, record: Record) -> None:
        """Take in how a trial ended, whether it was proposed here or by a driver before."""
        trial = self._running.pop(int(record["trial"]), None)
        if trial is None:
            self._tried.add(json.dumps(record["settings"]))
            self._study.add_trial(self._ended(record))
            return
        for step, value in self._known(record).items():
            trial.report(value, step)
        self._study.tell(trial, self._values(record), self._state(record))

    def _ended(self, record: Record) -> FrozenTrial:
        return create_trial(
            state=self._state(record),
            values=self._values(record),
            params=self._space.values(record["settings"]),
            distributions=self._distributions,
            intermediate_values=self._known(record),
        )

    def _state(self, record: Record) -> TrialState:
        if record["state"] == "finished":
            return TrialState.COMPLETE
        # Of two objectives Optuna can't rank what did not finish. But then none is stopped early, and few fail.
        return TrialState.FAIL if self._frontier else TrialState.PRUNED

    def _values(self, record: Record) -> list[float] | None:
        """The objectives of a trial that finished."""
        if record["state"] != "finished":
            return None
        accuracy = record["validation_accuracy"] or 0.0
        if not self._frontier:
            return [accuracy]
        # Logarithms: a tenth fewer errors counts as much at 1 % as at 10 %, and a tenth fewer parameters likewise.
        return [math.log(max(1 - accuracy, _LEAST)), math.log(record["parameters"] or 1)]

    def _known(self, record: Record) -> dict[int, float]:
        """What was measured of a trial on its way, by step; nothing of one that failed, so that it ranks last.

        Optuna takes, of those that did not finish, the one that came farthest for the best.
        """
        if self._frontier or record["state"] == "failed":
            return {}
        return dict(enumerate(record["curve"], 1))


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


def counted(domain: BaseDistribution) -> Sequence[Any]:
    """The values of a domain; as many as are too many, if they can't be counted."""
    if isinstance(domain, CategoricalDistribution):
        return domain.choices
    if isinstance(domain, IntDistribution):
        return range(domain.low, domain.high + 1)
    return range(_COUNTED + 1)


def rounded(domain: BaseDistribution, value: Any) -> Any:
    """A number of `_DIGITS` digits, and within its ends."""
    if not isinstance(domain, FloatDistribution) or not math.isfinite(value):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), domain.low), domain.high)
