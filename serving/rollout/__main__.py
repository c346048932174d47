"""``python -m serving.rollout``: see and change which version answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_seq import cli
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from serving.rollout.plan import ModelPlan

DESCRIPTION = """Which version answers: weights (canary, A/B), shadow traffic, and the way back.

  python -m serving.rollout status --file rollout.yaml
  python -m serving.rollout set caster --weights 3=90,4=10 --file rollout.yaml
  python -m serving.rollout set caster --shadow 4 --share 0.5 --file rollout.yaml
  python -m serving.rollout rollback caster --file rollout.yaml          weights before the last change
  python -m serving.rollout rollback caster --to 3 --file rollout.yaml   all callers to version 3
  python -m serving.rollout rollback caster --to 3 --policy models.config  a server's version policy
  python -m serving.rollout rollback caster --base saved_models/caster   the former version again, as the latest

A running server reads the file when it changes. Versions that get weights must be loaded: a version policy
'all' or 'specific', since 'latest' loads one. A call for a version that is not loaded goes to the latest.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m serving.rollout", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="status|set|rollback")
    status = commands.add_parser("status", help="the file as servers read it")
    put = commands.add_parser("set", help="weights, shadow")
    back = commands.add_parser("rollback", help="the way back")
    for added in (status, put, back):
        added.add_argument("--file", default="rollout.yaml", help="rollout file (default: rollout.yaml)")
    for added in (put, back):
        added.add_argument("model", help="its name")
    put.add_argument("--weights", metavar="V=W,...", help="shares by version, such as 3=90,4=10")
    put.add_argument("--salt", help="another text deals the callers anew")
    put.add_argument("--shadow", metavar="V|MODEL|MODEL:V|off", help="version or model that gets copies")
    put.add_argument("--share", type=float, help="of the calls that are copied (default: 1)")
    back.add_argument("--to", type=int, metavar="VERSION", help="version that answers")
    back.add_argument("--policy", metavar="FILE", help="set the version policy in this --model_config_file")
    back.add_argument("--base", metavar="FOLDER", help="push the former version of this base path again")
    return parser


@cli.command("serving.rollout", actions=("status", "set", "rollback"))
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options = make_parser().parse_args(argv)
    return {"status": _status, "set": _set, "rollback": _rollback}[options.command](options)


def _status(options: argparse.Namespace) -> cli.Result:
    from serving.rollout.plan import load_plan

    plan = load_plan(options.file)
    text = "\n".join(_text(name, entry) for name, entry in plan.models.items())
    return cli.Result(plan.model_dump(), text or "no model has a plan: the latest version of each answers")


def _set(options: argparse.Namespace) -> cli.Result:
    from serving.rollout import edit

    if options.weights is None and options.shadow is None and options.salt is None:
        raise ConfigError("Nothing to set; give --weights, --shadow or --salt.")
    if options.share is not None and options.shadow in (None, "off"):
        raise ConfigError("Option '--share' is for --shadow; give --shadow VERSION.")
    weights = None if options.weights is None else _weights(options.weights)
    shadow = None if options.shadow in (None, "off") else _shadow(options.shadow, options.share)

    def fields(old: ModelPlan) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if weights is not None and weights != dict(old.weights):  # else the way back would lead nowhere
            changes |= {"weights": weights, "previous": dict(old.weights)}
        if options.shadow is not None:
            changes["shadow"] = shadow
        return changes | ({"salt": options.salt} if options.salt is not None else {})

    return _tell(options, edit.change(options.file, options.model, fields))


def _rollback(options: argparse.Namespace) -> cli.Result:
    from serving.rollout import edit

    if options.policy and options.base:
        raise ConfigError("Options '--policy' and '--base' are two ways back; give one.")
    if options.policy:
        if options.to is None:
            raise ConfigError("Option '--policy' needs the version that answers: --to N.")
        edit.set_policy(options.policy, options.model, options.to)
        text = f"{options.policy}: model {options.model} serves version {options.to}"
        return cli.Result({"policy": options.policy, "version": options.to}, text)
    if options.base:
        target = edit.push_again(options.base, options.to)
        return cli.Result({"pushed": target}, f"pushed to {target}")
    return _tell(options, edit.roll_back(options.file, options.model, options.to))


def _tell(options: argparse.Namespace, plan: ModelPlan) -> cli.Result:
    return cli.Result({"models": {options.model: plan.model_dump()}}, _text(options.model, plan))


def _text(name: str, plan: ModelPlan) -> str:
    total = sum(plan.weights.values())
    shares = ", ".join(f"version {version} {weight / total:.1%}" for version, weight in sorted(plan.weights.items()))
    lines = [f"{name}: {shares or 'the latest version'}"]
    if plan.shadow is not None:
        which = "the latest version" if plan.shadow.version is None else f"version {plan.shadow.version}"
        lines.append(f"  shadow: {plan.shadow.model or name}, {which}, {plan.shadow.share:.0%} of the calls")
    if plan.previous is not None:
        before = ", ".join(f"{version}={weight:g}" for version, weight in sorted(plan.previous.items()))
        lines.append(f"  before: {before or 'the latest version'}")
    return "\n".join(lines)


def _weights(text: str) -> dict[int, float]:
    weights: dict[int, float] = {}
    for part in text.split(","):
        version, equals, weight = part.partition("=")
        try:
            if not equals or int(version) in weights:
                raise ValueError
            weights[int(version)] = float(weight)
        except ValueError:
            raise ConfigError(
                f"Option '--weights' must look like 3=90,4=10, each version once; got '{text}'."
            ) from None
    return weights


def _shadow(text: str, share: float | None) -> dict[str, Any]:
    model, colon, version = text.rpartition(":")
    if not colon and not text.isdigit():
        model, version = text, ""
    if version and not version.isdigit():
        raise ConfigError(f"Option '--shadow' must be a version, MODEL, MODEL:VERSION or off; got '{text}'.")
    return {
        "model": model or None,
        "version": int(version) if version else None,
        "share": 1.0 if share is None else share,
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
