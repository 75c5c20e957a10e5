// What the timeline says of one bar: under the pointer, and below the chart when it is clicked.

// The task of an attempt: its group, its name, and the number of the attempt if it is not the first.
function taskOf(timeline, attempt) {
  const task = timeline.attempts.task[attempt];
  const elsewhere = timeline.tasks.elsewhere.find(([place]) => place === task);
  const again = timeline.attempts.again.find(([place]) => place === attempt);
  const group = timeline.groups[timeline.tasks.group[task]];
  const id = timeline.tasks.id[task];
  return {
    group,
    id,
    number: again ? again[1] : 1,
    reused: timeline.attempts.reused.includes(attempt),
    // A link to its directory; null if there is none.
    directory: elsewhere ? elsewhere[1] : [group, id].map(encodeURIComponent).join("/"),
  };
}

function barReading(bar, timeline) {
  const length = duration(bar.to - bar.from);
  if (bar.of === STARVED) {
    return bar.merged > 1 ? `idle while work waited, ${counted(bar.merged, "time", "times")}` : `idle for ${length} while work waited`;
  }
  const what = bar.of === FAILED ? "train, then failed" : PHASES[bar.phase];
  if (bar.merged > 1) {
    const share = percent(Math.min(1, bar.filled / (bar.to - bar.from)));
    return `${counted(bar.merged, "task", "tasks")}: ${what}, ${share} of the time\nclick to zoom`;
  }
  const { group, id, number: attempt, reused } = taskOf(timeline, bar.attempt);
  const about = `${attempt > 1 ? `, attempt ${attempt}` : ""}${reused ? ", process reused" : ""}`;
  return `${group} / ${id}${about}\n${what} ${length}, from ${duration(bar.from)}\nclick for its logs`;
}

// Says below the chart what is known of an attempt, with links to its logs.
function tellAttempt(details, timeline, attempt) {
  const { group, id, number: tried, reused, directory } = taskOf(timeline, attempt);
  const name = document.createElement("b");
  name.textContent = `${group} / ${id}`;
  const lengths = PHASES.map((phase, place) => [phase, timeline.attempts.phases[place][attempt] / timeline.ticks]);
  const said = lengths.filter(([, length]) => length > 0).map(([phase, length]) => `${phase} ${duration(length)}`);
  if (tried > 1) said.unshift(`attempt ${tried}`);
  if (reused) said.unshift("process reused");
  if (timeline.attempts.failed.includes(attempt)) said.push("failed");
  details.replaceChildren(name, ` ${said.join(", ")}`);
  if (directory !== null) {
    for (const log of ["stdout.log", "stderr.log"]) {
      const link = document.createElement("a");
      link.href = `${directory}/${log}`;
      link.textContent = log;
      details.append(" ", link);
    }
  }
  details.hidden = false;
}
