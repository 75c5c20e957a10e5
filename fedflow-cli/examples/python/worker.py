#!/usr/bin/env python3
"""A Fedflow worker in Python's standard library alone. Copy it and write your own class in place of `Regression`."""
import json
import math
import os
import pathlib
import random
import socket


class Regression:
    """Logistic regression by gradient descent, on points that are made up from a seed."""

    def __init__(self, task):
        self.params = {"seed": 0, "points": 500, "rate": 0.5, "epochs": 40, **task["params"]}
        self.checkpoint = pathlib.Path(task["checkpoint_dir"], "model.json")  # Survives attempts and resume.

    def load(self):  # Without a device, while others train: read your data here and keep it in `self`.
        dice = random.Random(self.params["seed"])
        labels = [number % 2 for number in range(self.params["points"])]
        self.points = [([1.0, dice.gauss(2.0 * label, 1.0), dice.gauss(-label, 1.0)], label) for label in labels]

    def train(self, device, params, say):  # On `device`, such as "cuda:1" or "cpu". Returns the result.
        done, weights, count, epochs = 0, [0.0, 0.0, 0.0], len(self.points), self.params["epochs"]
        if self.checkpoint.exists():  # An earlier attempt came so far.
            done, weights = json.loads(self.checkpoint.read_text())
        for epoch in range(done, epochs):
            loss, slope = 0.0, [0.0, 0.0, 0.0]
            for inputs, label in self.points:
                guess = probability(weights, inputs)
                loss -= math.log(guess if label else 1.0 - guess) / count
                slope = [s + (guess - label) * x / count for s, x in zip(slope, inputs)]
            weights = [w - self.params["rate"] * s for w, s in zip(weights, slope)]
            new = self.checkpoint.with_suffix(".new")  # So that there is never half a checkpoint.
            new.write_text(json.dumps([epoch + 1, weights]))
            new.replace(self.checkpoint)
            say("item", key="loss", value=loss)
            say("progress", done=epoch + 1, total=epochs)
        right = sum((probability(weights, inputs) > 0.5) == label for inputs, label in self.points)
        return {"accuracy": right / count, "weights": weights, "device": device}


def probability(weights, inputs):
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, sum(w * x for w, x in zip(weights, inputs))))))


def main():
    if os.environ.get("FEDFLOW_FD") != "0":
        raise SystemExit("This is a Fedflow worker; try it with: fedflow check-worker --kind regression ./worker.py")
    kinds = {"regression": Regression}  # What a flow's `kind` may say.
    channel = socket.socket(fileno=os.dup(0))  # Standard input. What you print goes to the task's stdout.log.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # So that no helper process reads the channel or holds it open.

    def say(event, **fields):
        channel.sendall((json.dumps({"event": event, **fields}) + "\n").encode())

    for line in channel.makefile(encoding="utf-8"):  # One JSON object a line; pass over what you do not know.
        order = json.loads(line)
        command = order["cmd"]
        try:
            if command == "exit":
                return
            elif command == "hello":
                say("ready", version=1)
            elif command == "task":  # May come again once a task is done. What is wrong with it, `load` says.
                described = order
            elif command == "load":
                task = kinds[described["kind"]](described)
                task.load()
                say("loaded")
            elif command == "train":
                say("result", data=task.train(order["device"], order["params"], say))
        except Exception as error:  # With torch, `torch.cuda.OutOfMemoryError` belongs beside MemoryError.
            kind = "oom" if isinstance(error, MemoryError) else "error"
            say("error", phase=command, kind=kind, message=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
