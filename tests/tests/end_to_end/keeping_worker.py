#!/usr/bin/env python3
"""A worker that says who it is and keeps what it has loaded under the task's key."""
import json
import os
import socket
import sys

channel = socket.socket(fileno=os.dup(0))
loaded = {}


def say(event, **fields):
    channel.sendall((json.dumps({"event": event, **fields}) + "\n").encode())


for line in channel.makefile(encoding="utf-8"):
    order = json.loads(line)
    command = order["cmd"]
    if command == "hello":
        say("ready", version=1)
    elif command == "task":
        task = order
        os.chdir(task["workdir"])
    elif command == "load":
        key = task.get("keep")
        if key is None or key not in loaded:
            loaded = {key: 0}
        else:
            loaded[key] += 1
        say("loaded")
    elif command == "train":
        print("out of", task["task_id"])
        print("err of", task["task_id"], file=sys.stderr)
        with open("here", "w") as file:
            file.write(task["task_id"])
        say("result", data={"pid": os.getpid(), "name": task["task_id"], "taken-over": loaded[task.get("keep")]})
    elif command == "exit":
        break
