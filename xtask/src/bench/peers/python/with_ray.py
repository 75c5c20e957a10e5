"""Tasks in a local Ray, one CPU each."""

import json
import subprocess
import sys
import time

import ray


@ray.remote
def task(work):
    if "program" in work:
        subprocess.run([work["program"]], check=True)
    else:
        time.sleep(work["load"])
        time.sleep(work["train"])
    return {"ok": True}


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    ray.init(num_cpus=work["at_once"], include_dashboard=False, log_to_driver=False)
    results = ray.get([task.remote(work) for _ in range(work["tasks"])])
    print("done", len(results))
