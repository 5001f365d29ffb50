"""The model card: what a person should know before using the model (Mitchell et al. 2019, "Model Cards")."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from digits.dataset import IMAGE_SIZE
from digits.limits import Finding


def render(
    metrics: Mapping[str, Any], findings: Sequence[Finding], statistics: Mapping[str, Any], params: Mapping[str, Any]
) -> str:
    """Markdown of the card.

    Args:
        metrics: what evaluate wrote.
        findings: each limit with the value it was compared with.
        statistics: what preprocess wrote: checksums of the archives, counts, pixel statistics.
        params: the sections of params.yaml that made the model.
    """
    interval = metrics["accuracy_95"]
    passed = sum(finding.passed for finding in findings)
    classes = "\n".join(
        f"| {label} | {c['precision']:.4f} | {c['recall']:.4f} | {c['f1']:.4f} |"
        for label, c in metrics["per_class"].items()
    )
    limits = "\n".join(
        f"| {f.metric} | {f.value:g} | {f.relation.replace('_', ' ')} {f.limit:g} | {f.margin:+g} | "
        f"{'ok' if f.passed else '**violated**'} |"
        for f in findings
    )
    archives = "\n".join(f"| {name} | `{md5}` |" for name, md5 in statistics["archives_md5"].items())
    parts = "\n".join(
        f"| {part} | {statistics[part]['images']:,} | {statistics[part]['pixel_mean']:.2f} | "
        f"{statistics[part]['pixel_std']:.2f} |"
        for part in ("train", "validation", "test", "production")
        if part in statistics
    )
    production = (
        f"""

Production images are what a running service was asked and was told the true label of; each counts
{statistics["production"]["repeat"]} time(s) beside the training images. The network's normalisation is by the part
`train` alone."""
        if "production" in statistics
        else ""
    )
    return f"""\
# Model card: {statistics["dataset"]} classifier

A convolutional network with {metrics["parameters"]:,} parameters, trained for {metrics["epochs"]} epoch(s).
It reads one {IMAGE_SIZE}x{IMAGE_SIZE} image of raw pixels (0 to 255, light on dark) and returns a probability for each
of {len(metrics["per_class"])} classes.

## Results on the test images

| accuracy | 95 % interval (Wilson) | errors | cross-entropy | calibration error |
|---|---|---|---|---|
| {metrics["accuracy"]:.4f} | {interval["low"]:.4f} to {interval["high"]:.4f} | {metrics["errors"]} | \
{metrics["loss"]:.4f} | {metrics["calibration_error"]:.4f} |

| class | precision | recall | F1 |
|---|---|---|---|
{classes}

## Limits: {passed} of {len(findings)} kept

| metric | value | must be | margin | |
|---|---|---|---|---|
{limits}

## Intended use

A worked example of continuous integration and delivery for machine learning, and a classifier of single, centred,
segmented symbols that look like its training data. The probabilities are calibrated on held-out training images and
mean what they say on such images alone.

Not for: several symbols in one picture, anything of no class (it has none for "none of these"), decisions about
people, or any use where a wrong class does harm without a person looking at it. Inputs that drift from the training
data lower the accuracy without lowering the confidence as much.

## Data

| archive | MD5 |
|---|---|
{archives}

| part | images | pixel mean | pixel standard deviation |
|---|---|---|---|
{parts}

Validation images are held out of the training archive, stratified by class. The test images are read by the evaluation
alone.{production}

## Params

```yaml
{yaml.safe_dump(dict(params), sort_keys=False, default_flow_style=None, width=100).rstrip()}
```
"""
