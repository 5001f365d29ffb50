"""Put back what a stage had before: `make rollback STAGE=production`.

python -m delivery.rollback --stage STAGE [--reason TEXT] [--push]

No conditions: the version was there already, and a rollback comes first, the search for the cause after. A second one
leads further back, never forward again to what was left; `make promote STAGE=... VERSION=...` leads anywhere.
"""

import argparse

from delivery import registry, tagging
from delivery.promote import PromotionError, check_stage, cleaned, describe, message
from delivery.settings import DeliveryParams
from digits import params
from digits.errors import run


def main() -> None:
    """Assign the version before, or say that there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="in which stage")
    parser.add_argument("--reason", help="why; kept in the tag")
    parser.add_argument("--push", action="store_true", help=f"share the tag with {tagging.REMOTE}")
    arguments = parser.parse_args()
    settings = params.load(DeliveryParams, "delivery")
    with tagging.alone():
        rollback(settings, arguments.stage, cleaned(arguments.reason), push=arguments.push)


def rollback(settings: DeliveryParams, stage: str, reason: str | None, *, push: bool = False) -> None:
    """Assign to a stage the version that it had before.

    Raises:
        PipelineError: nothing was assigned. Its text says why and what to do.
    """
    check_stage(stage, settings)
    if push:
        tagging.fetch(settings.artifact)
    known = registry.read(".", settings.artifact)
    present, version = known.assigned(stage), known.before(stage)
    if present is None:
        raise PromotionError(f"{stage} is empty: there is nothing to roll back; see `make versions`")
    was = describe(present)
    if version is None:
        raise PromotionError(
            f"{stage} has {was}, and had no other version before that could come back; see `gto history`, and name one "
            f"with `make promote STAGE={stage} VERSION=...`"
        )
    title = f"Roll back {stage} from {was} to {version.name}"
    entry = tagging.assign(settings.artifact, stage, version, message(title, [], reason))
    print(f"{stage}: {version.name} again (was {was}), tag {entry.tag}; deploy it with: make deploy STAGE={stage}")
    tagging.share(settings.artifact, version.tag, entry.tag, push=push)


if __name__ == "__main__":
    run(main)
