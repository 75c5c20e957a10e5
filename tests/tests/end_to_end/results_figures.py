"""Compares the means that `fedflow results` prints with those of pandas or, without it, of Python's statistics module."""

import csv
import math
import statistics

try:
    import pandas
except ImportError:
    pandas = None

VALUES = ("accuracy", "loss.0", "loss.1")


def expected_by_pandas():
    tasks = pandas.read_csv("tasks.csv")
    groups = tasks.groupby("param.lr")
    return {
        (str(lr), name): (group[f"result.{name}"].mean(), group[f"result.{name}"].std())
        for lr, group in groups
        for name in VALUES
    }


def expected_by_python():
    numbers = {}
    with open("tasks.csv") as file:
        for row in csv.DictReader(file):
            for name in VALUES:
                text = row[f"result.{name}"]
                known = numbers.setdefault((row["param.lr"], name), [])
                if text not in ("", "NaN"):
                    known.append(float(text))
    nan = math.nan
    return {
        key: (
            statistics.fmean(known) if known else nan,
            statistics.stdev(known) if len(known) > 1 else nan,
        )
        for key, known in numbers.items()
    }


expected = expected_by_pandas() if pandas else expected_by_python()
compared = 0
with open("means.csv") as file:
    for row in csv.DictReader(file):
        for name in VALUES:
            for told, figure in zip((row[f"{name}.mean"], row[f"{name}.sd"]), expected[row["param.lr"], name]):
                figure = float(figure)
                assert (told == "") == math.isnan(figure), (row, name, figure)
                assert told == "" or math.isclose(float(told), figure, rel_tol=1e-12, abs_tol=1e-12), (row, name, figure)
            compared += 1
print(f"{compared} figures compared, with {'pandas' if pandas else 'statistics'}")
