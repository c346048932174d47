"""Windows, split, family and training for the amount and kind of data; each choice with its reason."""

from __future__ import annotations

import math

from keras_seq.autoconfig.facts import Choice, ConfigurationFacts
from keras_seq.autoconfig.unlike import UNLIKE
from keras_seq.data.sources.positive import FLAGS, order_classes
from keras_seq.errors import DataError

LONGEST_WHOLE = 2000  # steps of a sequence read as a whole
LONGEST_PER_STEP = 1000
MOST_WINDOWS = 50_000
FEW_UNITS, MANY_UNITS = 100, 1000
FEW_ROWS, MANY_ROWS = 2000, 20_000
RARE = 0.4  # of an equal share: below this the rarest class is weighed (two classes: below 20 %)
DAY = 86400.0  # seconds
_PERIODS = {1.0: "a day", 7.0: "a week", 365.25: "a year"}  # days
TAUGHT = 0.7  # share of the rows that trains
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 3000, 5, 200  # of the training of a forecast
RATES = {"forecast": 0.003}  # docs/defaults.md
LONG_SEASON = 200  # steps: a window holds one such season, two of a shorter one


def seasons(facts: ConfigurationFacts) -> list[tuple[int, str]]:
    """Steps and words of the seasons that the dates suggest and that the longest unit holds twice, shortest first."""
    if facts.weekdays:
        return [(5, "a week of working days")]
    days = facts.step / DAY
    if 28 <= days <= 31:
        return [(12, "a year of months")]
    if 89 <= days <= 92:
        return [(4, "a year of quarters")]
    suggested = []
    for period, words in _PERIODS.items():
        steps = round(period / days) if days else 0
        if steps >= 4 and abs(steps * days - period) <= 0.02 * period and 2 * steps <= max(facts.lengths):
            suggested.append((steps, words))
    return suggested


def by_time(facts: ConfigurationFacts) -> bool:
    """Whether the data can only be split in time."""
    return facts.question.task == "forecast" or len(facts.lengths) < 3


def dense(facts: ConfigurationFacts) -> bool:
    """Whether whole sequences are answered at every step."""
    question = facts.question
    return (
        question.task == "regression"
        and not question.per_unit
        and not by_time(facts)
        and max(facts.lengths) <= LONGEST_PER_STEP
    )


def windows(facts: ConfigurationFacts, horizon: int) -> list[Choice]:
    """``data.windows`` and ``data.bucket``."""
    shortest, longest = min(facts.lengths), max(facts.lengths)
    if facts.question.per_unit or dense(facts):
        length = min(longest, LONGEST_WHOLE)
        spread = f"units have {shortest} to {longest} rows" if shortest < longest else f"every unit has {longest} rows"
        what = "one answer for each sequence" if facts.question.per_unit else "an answer at every step of a history"
        choices = [
            Choice("data.windows.mode", "whole", what, "sliding, or last: only the latest rows of a unit"),
            Choice("data.windows.length", length, f"{spread}; the last ones are kept where there are more"),
        ]
        if dense(facts):
            choices.append(Choice("data.windows.per_step", True, "the target is known in every row"))
        if length < 50:
            choices.append(Choice("data.bucket", length, "sequences are padded to multiples of so many steps"))
        return choices
    length, why = _window(facts, shortest, horizon)
    choices = [
        Choice("data.windows.mode", "sliding", "windows of the latest rows, cut inside each unit"),
        Choice("data.windows.length", length, why, "longer, if what matters lies further back"),
    ]
    stride = max(1, math.ceil(facts.rows / MOST_WINDOWS))
    if stride > 1:
        choices.append(Choice("data.windows.stride", stride, f"{facts.rows} rows: not every start is needed", "1: all"))
    if facts.question.task == "forecast":
        choices.append(Choice("data.windows.horizon", horizon or 1, _horizon_words(horizon)))
    return choices


def _horizon_words(horizon: int) -> str:
    if horizon:
        return "steps ahead, as asked for with --horizon"
    return "steps ahead. This cannot be guessed: set it to how far ahead an answer is of use (--horizon)"


def _window(facts: ConfigurationFacts, shortest: int, horizon: int) -> tuple[int, str]:
    steps, words = next(iter(seasons(facts)), (0, ""))
    ahead = horizon or 1
    room = (
        max(2, int(0.7 * shortest) // 4) if by_time(facts) else max(2, sorted(facts.lengths)[len(facts.lengths) // 2])
    )
    if facts.question.task == "forecast" and int(0.15 * shortest) < ahead:
        raise DataError(
            f"A horizon of {ahead} steps needs at least {math.ceil(ahead / 0.15) + 1} rows in every unit, so that "
            f"validation and test hold one window each; the shortest has {shortest}. Shorten --horizon, or bring more "
            "rows."
        )
    if steps > LONG_SEASON and steps <= room:
        return _no_shorter(steps, steps, ahead, room), f"seasons: {words}"
    if steps and 2 * steps <= room:
        length = 2 * steps if steps > 12 else 4 * steps if 4 * steps <= room else 2 * steps
        return _no_shorter(length, steps, ahead, room), f"seasons: {words}"
    usual = max(48, ahead)
    return min(usual, room), "steps" + (" (as many as the data bear)" if room < usual else ", a usual start")


def _no_shorter(length: int, season: int, ahead: int, room: int) -> int:
    """Whole seasons that reach back as far as the answer reaches ahead, as far as the data bear."""
    return max(length, min(season * math.ceil(ahead / season), room))


def official(facts: ConfigurationFacts) -> list[Choice]:
    """``data.part``, or ``data.validation_path`` and ``data.test_path``, of a split that comes with the data."""
    if facts.official is None:
        return []
    if facts.official.column:
        return [Choice("data.part", facts.official.column, "says which units are the official test part")]
    named = {"validation_path": facts.official.validation, "test_path": facts.official.test}
    why = "named as the official part beside this file"
    return [Choice(f"data.{name}", [str(path) for path in paths], why) for name, paths in named.items() if paths]


def split(facts: ConfigurationFacts, attempt: int = 0) -> list[Choice]:
    """``data.split``; ``attempt`` counts on to wider shares where a part lacked a class or rows."""
    units = len(facts.lengths)
    if facts.question.per_unit and units < 3:
        raise DataError(
            f"Target '{facts.question.targets[0]}' is the same in all rows of a unit, and there are {units} units; at "
            "least 3 are needed to train, choose and judge, and a model needs far more. Bring more units, or name "
            "another --target or --unit."
        )
    share = (0.15, 0.2, 0.3)[min(attempt, 2)]
    if facts.official:
        chosen = Choice("data.split.by", "official", "the test part that comes with the data", "unit, or time")
        return [chosen, *([] if facts.official.validation else [Choice("data.split.validation", share)])]
    if by_time(facts) or (attempt > 2 and not facts.question.per_unit):
        what = "one cut in time: trained on the past, judged on what came after"
        instead = "" if units < 3 else "unit: how well does it do on units never seen?"
        shares = [Choice("data.split.validation", share), Choice("data.split.test", share)]
        return [Choice("data.split.by", "time", what, instead), *shares]
    if facts.question.per_unit and facts.question.task != "regression":
        chosen = Choice("data.split.by", "stratified", "whole units, with equal shares of the classes", "unit")
    elif facts.parts["group"].column:
        chosen = Choice("data.split.by", "group", "whole groups: what belongs together is never split apart", "unit")
    else:
        instead = "" if facts.question.per_unit else "time: one cut in time through every unit"
        chosen = Choice("data.split.by", "unit", "whole units: judged on units never seen", instead)
    if units < 8 and chosen.value == "unit":
        parts = [Choice(f"data.split.{part}", 1, f"one of {units} units") for part in ("validation", "test")]
    else:
        parts = [Choice(f"data.split.{part}", share) for part in ("validation", "test")]
    return [chosen, *parts]


def model(facts: ConfigurationFacts) -> list[Choice]:
    """``model``: a family and size that the amount of data bears."""
    task, units, rows = facts.question.task, len(facts.lengths), facts.rows
    if task == "forecast":
        return _forecaster(facts)
    if facts.question.per_unit:
        if units < FEW_UNITS:
            return _fitted("extra_trees", f"{units} sequences: a network would learn them by heart", "gru")
        if units < MANY_UNITS:
            sizes = {"units": 32, "layers": 1, "bidirectional": True, "pooling": "mean", "dropout": 0.3}
            return _network("gru", sizes, f"{units} sequences: a small network", "tcn, extra_trees")
        sizes = {"filters": 48, "layers": 3, "stem": 2 if max(facts.lengths) > 200 else 0, "bidirectional": True}
        sizes |= {"pooling": "max", "dropout": 0.1}
        return _network("tcn", sizes, f"{units} sequences: enough for convolutions", "gru, hist_gradient_boosting")
    if rows < FEW_ROWS or (dense(facts) and units < 10):
        few = f"{rows} rows" if rows < FEW_ROWS else f"{units} units"
        return _fitted("hist_gradient_boosting", f"{few}: too few for a network", "lstm, gru")
    size = {"units": 64, "layers": 2} if rows >= MANY_ROWS else {"units": 32, "layers": 1}
    sizes = {**size, "input_noise": 0.1, "dropout": 0.3, "hidden_dims": []}
    if facts.question.falls:
        sizes["history"] = {"ewm": [0.9], "baseline": 20, "elapsed": 100}
    kind = "lstm" if dense(facts) else "gru"
    why = f"{rows} rows in {units} unit{'s' if units > 1 else ''}"
    if facts.question.falls:
        why += "; the target counts down, so smoothed values, the unit's own start and its age are inputs, too"
    return _network(kind, sizes, why, "hist_gradient_boosting, tcn")


def _forecaster(facts: ConfigurationFacts) -> list[Choice]:
    known = seasons(facts)
    if facts.rows < 300:
        choices = _fitted("ridge", f"{facts.rows} rows: a linear model of the past values", "seasonal_naive, sarimax")
        if facts.apart >= UNLIKE:
            choices.append(Choice("model.normalisation", "instance", _unlike_words(facts), "none"))
    else:
        sizes = {"units": 16 if facts.rows < FEW_ROWS else 32, "layers": 1, "skip": "linear", "dropout": 0.2}
        instead = "ridge" if len(facts.lengths) > 1 else "ridge, sarimax, hybrid (docs/forecasting.md compares them)"
        choices = _network(
            "lstm", {**sizes, "hidden_dims": []}, f"{facts.rows} rows: a small network on top of a linear map", instead
        )
        why = "each window by its own mean and deviation: levels drift, and units differ in scale"
        why = _unlike_words(facts) if facts.apart >= UNLIKE else why
        choices.append(Choice("model.normalisation", "instance", why, "none"))
    if known:
        listed = ", ".join(f"{words} ({steps} steps)" for steps, words in known)
        others = " or ".join(str(steps) for steps, _ in known[1:])
        why = f"seasons by the dates: {listed}. What the seasonal naive forecast beside it repeats"
        choices.append(Choice("model.arima.period", known[0][0], why, others))
    return choices


def _unlike_words(facts: ConfigurationFacts) -> str:
    many = float(f"{facts.apart:.1g}")
    return (
        f"each window by its own mean and deviation: large units are some {many:,.0f} times the size of small ones, "
        "which would hardly vary beside them"
    )


def _network(family: str, sizes: dict[str, object], why: str, instead: str) -> list[Choice]:
    return [
        Choice("model.family", family, f"{why}. A cheap baseline is trained beside it", instead),
        *(Choice(f"model.{name}", value) for name, value in sizes.items()),
    ]


def _fitted(family: str, why: str, instead: str) -> list[Choice]:
    return [Choice("model.family", family, why, instead)]


def training(facts: ConfigurationFacts) -> list[Choice]:
    """``training``, where a network is proposed."""
    return network_training(facts) if is_network(facts) else []


def network_training(facts: ConfigurationFacts) -> list[Choice]:
    """``training`` of a network; class weights where a class is rare."""
    samples = len(facts.lengths) if facts.question.per_unit or dense(facts) else facts.rows
    batch = 8 if samples < 200 else 32 if samples < 20_000 else 64
    epochs, patience, why = 40, 8, "at most; it stops when validation no longer improves"
    if facts.question.task == "forecast":
        steps = max(1, round(TAUGHT * samples / math.ceil(samples / MOST_WINDOWS) / batch))
        epochs = min(max(round(STEPS / steps), FEWEST_EPOCHS), MOST_EPOCHS)
        patience = max(3, epochs // 2)
        why = f"of some {steps} steps: a forecast is learnt in a few thousand; the best epoch is kept"
    choices = [
        Choice("training.epochs", epochs, why),
        Choice("training.batch_size", batch),
        Choice("training.learning_rate", 0.002 if dense(facts) else RATES.get(facts.question.task, 0.001)),
        Choice("training.patience", patience),
    ]
    if facts.question.task == "forecast":
        choices += [
            Choice("training.schedule", "cosine", "rises for half an epoch and falls to the end", "constant"),
            Choice("training.warmup", 0.5),
        ]
    if facts.question.task == "forecast" and facts.apart >= UNLIKE:
        kind = "season" if seasons(facts) else "window"
        why = "errors in the seasonal naive error" if kind == "season" else "errors in the deviation"
        why += " of each window, so that large units do not own the loss; judge by mase and smape"
        choices.append(Choice("training.loss_scale", kind, why, "none: in one deviation of all units"))
    if facts.shares and min(facts.shares.values()) < RARE / len(facts.shares):
        rarest = min(facts.shares, key=lambda text: facts.shares[text])
        choices.append(
            Choice(
                "training.class_weight",
                "balanced",
                f"class '{rarest}' is {facts.shares[rarest]:.1%}: every class weighs the same in training",
                "none; or training.loss focal",
            )
        )
    return choices


def positive(facts: ConfigurationFacts) -> list[Choice]:
    """``data.positive`` where two classes do not say it themselves."""
    if facts.question.task != "binary" or len(facts.shares) != 2 or tuple(facts.shares) in FLAGS:
        return []
    chosen = positive_of(facts)
    other = next(text for text in facts.shares if text != chosen)
    return [Choice("data.positive", chosen, f"the rarer class, {facts.shares[chosen]:.1%}: what is looked for", other)]


def evaluation(facts: ConfigurationFacts) -> list[Choice]:
    """``evaluation``: the rule that turns probabilities into calls, or intervals that follow drift."""
    if facts.question.task == "binary":
        why = f"'{positive_of(facts)}' is the positive class; the threshold is of its probability"
        return [
            Choice("evaluation.threshold", "f1", why, "cost or recall, where a miss costs more (docs/decisions.md)")
        ]
    if facts.question.task == "forecast" and facts.apart >= UNLIKE:
        why = "intervals would be as wide for small units as for large ones"
        return [
            Choice("evaluation.conformal", "none", why, "model.quantiles [0.05, 0.5, 0.95], which follow a unit's size")
        ]
    if facts.question.task == "forecast":
        return [Choice("evaluation.conformal", "adaptive", "intervals widen when errors grow", "normalised")]
    return []


def positive_of(facts: ConfigurationFacts) -> str:
    """The positive one of two classes."""
    asked, target = None, facts.question.targets[0]
    often = {text: round(share * 1e9) for text, share in facts.shares.items()}
    return order_classes(tuple(facts.shares), often, asked=asked, listed=False, target=target)[1]


def is_network(facts: ConfigurationFacts) -> bool:
    """Whether the chosen family is trained by epochs."""
    return model(facts)[0].value in ("lstm", "gru", "tcn")
