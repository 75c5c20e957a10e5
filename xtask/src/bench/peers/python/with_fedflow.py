"""Tasks in the Python original, with its waits set to their smallest.

Its scheduler sleeps 3 s after each process that it starts and `scheduler.interval` after each look; both are 20 ms
here: with less it starts tasks twice, as they have not yet said that they are there.
It asks a library for NVIDIA cards; in its place stand made-up cards, each full while a task trains on it.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
import types

work = json.loads(sys.argv[1])
group = None


class Card:
    def __init__(self, number):
        self.id = number

    def mem_total(self):
        return 24 << 30

    def mem_free(self):
        training = group.tasks[TaskStatus.TRAINING].values()
        asked = [task for task in list(group.tasks[TaskStatus.WAITING].values()) if task.task_id in on_card]
        busy = any(on_card.get(task.task_id) == self.id for task in [*list(training), *asked])
        return 0 if busy else 24 << 30


cards = [Card(number) for number in range(work["at_once"])]
on_card = {}
made_up = types.ModuleType("ngpuinfo")
made_up.NGPU = Card
made_up.NGPUInfo = types.SimpleNamespace(list_gpus=lambda: cards)
sys.modules["ngpuinfo"] = made_up

from fedflow import FedFlow, Task, TaskGroup  # noqa: E402
from fedflow.config import Config  # noqa: E402
from fedflow.core import scheduler  # noqa: E402
from fedflow.core.task import TaskStatus  # noqa: E402

scheduler.time = types.SimpleNamespace(sleep=lambda _: time.sleep(0.02))
Config.set_property("utilization-limit.cpu", 2.0)
Config.set_property("scheduler.default-memory", "1MB")
Config.set_property("remain-limit.memory", "1MB")


class PassTime(Task):
    def load(self):
        if "load" in work:
            time.sleep(work["load"])

    def train(self, device):
        if "program" in work:
            subprocess.run([work["program"]], check=True)
        else:
            time.sleep(work["train"])
        return {"ok": True}

    def start_train(self, device):
        on_card[self.task_id] = int(device.removeprefix("cuda:"))
        super().start_train(device)


if __name__ == "__main__":
    group = TaskGroup("all")
    for number in range(work["tasks"]):
        group.add_task(PassTime(number))
    FedFlow.add_group(group)
    FedFlow.start()
    print("done", group.success_number, flush=True)
    # A process that it started twice would be waited for for ever.
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(0)
