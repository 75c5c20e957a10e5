"""Tasks in joblib's default pool of processes."""

import json
import subprocess
import sys
import time

from joblib import Parallel, delayed


def task(work):
    if "program" in work:
        subprocess.run([work["program"]], check=True)
    else:
        time.sleep(work["load"])
        time.sleep(work["train"])
    return {"ok": True}


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    results = Parallel(n_jobs=work["at_once"])(delayed(task)(work) for _ in range(work["tasks"]))
    print("done", len(results))
