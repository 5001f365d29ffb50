"""Put a version into a stage: `make promote STAGE=staging`, `make promote STAGE=production`.

python -m delivery.promote --stage STAGE [--version VERSION] [--reason TEXT] [--once] [--push]

The first stage of params.yaml takes any registered version, the newest by default. Each further one takes what the
stage before it has, by default, and asks for more: that it is served there and has passed its smoke test, and that it
is not worse than what it replaces. A reason overrides that, and is kept in the tag.
"""

import argparse

from delivery import conditions, registry, tagging
from delivery.conditions import Finding
from delivery.printable import one_line
from delivery.registry import Registry, Version
from delivery.settings import DeliveryParams
from digits import params
from digits.errors import PipelineError, run


class PromotionError(PipelineError):
    """What was asked for can't be, or a condition is not met."""


def main() -> None:
    """Assign, or say what is in the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="into which stage")
    parser.add_argument("--version", help="which version; for the default see above")
    parser.add_argument("--reason", help="why, although a condition is not met")
    parser.add_argument("--once", action="store_true", help="not if it was there before: whoever took it back meant it")
    parser.add_argument("--push", action="store_true", help=f"share the tag with {tagging.REMOTE}")
    arguments = parser.parse_args()
    settings = params.load(DeliveryParams, "delivery")
    with tagging.alone():
        reason = cleaned(arguments.reason)
        promote(settings, arguments.stage, arguments.version, reason, once=arguments.once, push=arguments.push)


def promote(
    settings: DeliveryParams,
    stage: str,
    name: str | None,
    reason: str | None,
    *,
    once: bool = False,
    push: bool = False,
) -> None:
    """Assign a version to a stage, if the conditions are met or there is a reason to override them.

    Args:
        settings: section `delivery`.
        stage: into which one.
        name: of the version; None for the one that would be next.
        reason: on one line, see `cleaned`.
        once: leave the stage alone if it had this version before.
        push: share the tag with origin.

    Raises:
        PipelineError: nothing was assigned. Its text says why and what to do.
    """
    check_stage(stage, settings)
    if push:
        tagging.fetch(settings.artifact)
    known = registry.read(".", settings.artifact)
    version = choose(known, settings, stage, name)
    present = known.assigned(stage)
    if present and present.commit == version.commit:
        print(f"{stage} has {version.name} already, since {present.when:%Y-%m-%d %H:%M} UTC by {one_line(present.by)}")
        tagging.share(settings.artifact, version.tag, present.tag, push=push)
        return
    if once and any(entry.commit == version.commit for entry in known.history.get(stage, [])):
        print(f"{stage} had {version.name} before, and has {describe(present)} now: left as it is")
        return
    findings = examine(known, settings, stage, version)
    if reason is None and not all(finding.met for finding in findings):
        unmet = "".join(f"\n  - {one_line(finding.text)}" for finding in findings if not finding.met)
        raise PromotionError(
            f"{version.name} stays out of {stage}, since a condition is not met:{unmet}\n  to override that, say why, "
            f"which the tag will keep: make promote STAGE={stage} VERSION={version.name} REASON='...'"
        )
    for finding in findings:
        print(f"{'met' if finding.met else 'overridden'}: {one_line(finding.text)}")
    was = describe(present)
    title = f"Promote {version.name} to {stage} (was {was})"
    entry = tagging.assign(settings.artifact, stage, version, message(title, findings, reason))
    print(f"{stage}: {version.name} (was {was}), tag {entry.tag}; deploy it with: make deploy STAGE={stage}")
    tagging.share(settings.artifact, version.tag, entry.tag, push=push)


def check_stage(stage: str, settings: DeliveryParams) -> None:
    """Refuse a stage that params.yaml does not know: GTO would take any.

    Raises:
        PromotionError: there is no such stage.
    """
    if stage not in settings.stages:
        raise PromotionError(
            f"stage {stage!r} is none of those in params.yaml, delivery.stages: {', '.join(settings.stages)}"
        )


def cleaned(reason: str | None) -> str | None:
    """A reason on one line, None where none is given.

    Raises:
        PromotionError: it says nothing.
    """
    if reason is None:
        return None
    if not (text := one_line(reason)):
        raise PromotionError("the reason is empty; say why, for whoever reads the tag later: REASON='...'")
    return text


def describe(present: registry.Assignment | None) -> str:
    """What a stage has, in a word."""
    if present is None:
        return "empty"
    return present.version.name if present.version else f"{present.commit[:7]}, which is no version"


def choose(known: Registry, settings: DeliveryParams, stage: str, name: str | None) -> Version:
    """The version to promote.

    Raises:
        PipelineError: there is no such version, or, without a name, none that would be next.
    """
    if name is not None:
        return known.find(name)
    if (source := stage_before(stage, settings)) is None:
        if not known.versions:
            raise PromotionError(f"there is no version of {settings.artifact} yet; register one with `make release`")
        return known.versions[-1]
    if (version := known.current(source)) is None:
        raise PromotionError(f"{source} is empty; begin there with `make promote STAGE={source}`, or name a VERSION=")
    return version


def stage_before(stage: str, settings: DeliveryParams) -> str | None:
    """Where a version has to show itself first; None for the first stage of params.yaml."""
    stages = list(settings.stages)
    place = stages.index(stage)
    return stages[place - 1] if place else None


def examine(known: Registry, settings: DeliveryParams, stage: str, version: Version) -> list[Finding]:
    """Look at each condition of a stage."""
    if (source := stage_before(stage, settings)) is None:
        return []
    try:
        current = known.current(stage)
    except registry.RegistryError as error:
        compared = Finding(False, f"{version.name} can't be compared: {error}")
    else:
        compared = conditions.not_worse(version, current, settings.margin, settings.significance)
    return [conditions.served(version, source, settings.stages[source].url), compared]


def message(title: str, findings: list[Finding], reason: str | None) -> str:
    """Text of the assignment's tag: what was done, what was known, and why."""
    lines = [f"{'Met' if finding.met else 'Overridden'}: {one_line(finding.text)}" for finding in findings]
    lines += [f"Reason: {reason}"] if reason else []
    return "\n".join([title, "", *lines]).strip()


if __name__ == "__main__":
    run(main)
