"""``fleetsight doctor``: whether each target works here, after really computing something on it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from fleetsight.cli.choices import known

doctor_app = typer.Typer()


@doctor_app.command()
def doctor(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]...", help="Targets to try; all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Try every target: PASS, FAIL or absent, with the reason.

    Each compiles, loads and runs a tiny network in a process of its own, and its answer is compared with the right one.
    Exit code 1 when a target that is there does not work.
    """
    from fleetsight.accel.choose import TARGETS
    from fleetsight.accel.targets.selftest import examine_targets

    for name in targets or ():
        known(name, TARGETS, option="TARGET")
    findings = []
    for finding in examine_targets(tuple(targets or TARGETS)):
        findings.append(finding)
        if not as_json:
            word = finding.status.upper() if finding.status != "absent" else "absent"
            print(f"{finding.target:12} {word:6} {finding.reason}", flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)
