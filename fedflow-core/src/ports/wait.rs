//! `Wait`: what a run waits for while devices of it are idle, and what is in its way.

use std::fmt;

use crate::model::device::Device;
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::model::time::Time;

/// How many things in the way are named; of the others only the number is told.
const NAMED: usize = 3;

/// What a run waits for. It is true only now, so it is no [`RunEvent`](crate::RunEvent), and is not recorded.
///
/// It is displayed as a line for people. The line repeats what other users have written: escape it before you print it to
/// a terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The group of the task that has waited longest.
    pub group: Name,
    /// That task.
    pub task: Name,
    /// Since when the run waits.
    pub since: Time,
    /// What is missing.
    pub cause: WaitCause,
    /// Whether it is news: the run has waited for nothing yet, or last for something else or for others.
    pub is_news: bool,
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitCause {
    /// Devices, none of which this run uses itself.
    Devices {
        /// How many the task asks for.
        number: u32,
        /// How much memory it asks for on each; `None` if the devices have none.
        memory: Option<Size>,
        /// What is in its way, as far as it is known.
        obstacles: Vec<Obstacle>,
    },
    /// Memory of the host, while devices are idle.
    HostMemory {
        /// How much the task is expected to need.
        asked: Size,
        /// How much the host has available.
        available: Size,
        /// How much of that has to stay free.
        kept_free: Size,
        /// How much of that is reserved for tasks of this run that have not used it yet.
        reserved: Size,
    },
    /// Processors of the host, while devices are idle.
    Processors {
        /// How busy they are, from 0 to 1.
        busy: f64,
        /// How busy they may be for a task to load.
        limit: f64,
    },
    /// One process less of this run, while devices are idle.
    Processes {
        /// How many the run may have.
        limit: u32,
    },
}

/// What is in the way on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The device.
    pub device: Device,
    /// The memory that it takes; `None` if the device has none.
    pub memory: Option<Size>,
    /// What takes it.
    pub occupant: Occupant,
}

/// What takes a device or its memory from a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// A lease of another run.
    Run {
        /// The user.
        user: String,
        /// The number of the supervisor's process.
        supervisor: u32,
        /// The run directory; `None` if it is unknown.
        directory: Option<String>,
        /// The task, as `group/task`; `None` if it is unknown.
        task: Option<String>,
    },
    /// A process of no run.
    Process {
        /// Its number.
        pid: u32,
        /// Its program's name.
        name: Option<String>,
        /// Its user.
        user: Option<String>,
    },
    /// Memory that processes have not given back, which have ended.
    Unreleased,
    /// Memory that is in use, it is not known by what.
    Unknown,
}

impl Wait {
    /// Whether another wait has the same cause: it is for the same, and the same occupants are in its way.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.cause, &other.cause) {
            (WaitCause::Devices { obstacles, .. }, WaitCause::Devices { obstacles: of_other, .. }) => {
                occupants(obstacles) == occupants(of_other)
            }
            (WaitCause::HostMemory { .. }, WaitCause::HostMemory { .. })
            | (WaitCause::Processors { .. }, WaitCause::Processors { .. })
            | (WaitCause::Processes { .. }, WaitCause::Processes { .. }) => true,
            _ => false,
        }
    }
}

/// The processes in the way, each once, in order; 0 stands for those that have ended or are not known.
fn occupants(obstacles: &[Obstacle]) -> Vec<u32> {
    let numbers = obstacles.iter().map(|obstacle| match &obstacle.occupant {
        Occupant::Run { supervisor, .. } => *supervisor,
        Occupant::Process { pid, .. } => *pid,
        Occupant::Unreleased | Occupant::Unknown => 0,
    });
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, task, cause, .. } = self;
        match cause {
            WaitCause::Devices { number, memory, obstacles } => {
                match (memory, number) {
                    (None, 1) => f.write_str("waiting for a device"),
                    (None, number) => write!(f, "waiting for {number} devices"),
                    (Some(memory), 1) => write!(f, "waiting for a card with {memory}"),
                    (Some(memory), number) => write!(f, "waiting for {number} cards with {memory} each"),
                }?;
                write!(f, " for {group}/{task}: ")?;
                write_obstacles(f, obstacles)
            }
            WaitCause::HostMemory { asked, available, kept_free, reserved } => {
                write!(
                    f,
                    "waiting for {asked} of the host's memory for {group}/{task}: {available} is available, of which \
                     {kept_free} has to stay free"
                )?;
                if *reserved > Size::ZERO {
                    write!(f, " and {reserved} is reserved for tasks of this run that run already")?;
                }
                Ok(())
            }
            WaitCause::Processors { busy, limit } => write!(
                f,
                "waiting for processors of the host for {group}/{task}: they are {:.0}% busy, and \
                 utilization-limit.cpu is {limit}",
                busy * 100.0
            ),
            WaitCause::Processes { limit } => write!(
                f,
                "waiting for a process for {group}/{task}: this run has as many as scheduler.max-process allows, {limit}"
            ),
        }
    }
}

fn write_obstacles(f: &mut fmt::Formatter<'_>, obstacles: &[Obstacle]) -> fmt::Result {
    if obstacles.is_empty() {
        return f.write_str("none has room");
    }
    for (place, obstacle) in obstacles.iter().take(NAMED).enumerate() {
        write!(f, "{}{obstacle}", if place == 0 { "" } else { "; " })?;
    }
    match obstacles.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, memory, occupant } = self;
        let what = memory.map_or_else(|| device.to_string(), |memory| format!("{memory} of {device}"));
        match occupant {
            Occupant::Run { user, supervisor, directory, task } => {
                let run = directory.as_deref().map(|directory| format!("the run {directory} of {user}"));
                let run = run.unwrap_or_else(|| format!("a run of {user}"));
                let task = task.as_deref().map(|task| format!("task {task}, ")).unwrap_or_default();
                write!(f, "{what} is held by {run} ({task}process {supervisor})")
            }
            Occupant::Process { pid, name, user } => {
                let of = [name, user].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                let of = if of.is_empty() { of } else { format!(" ({of})") };
                write!(f, "{what} is used by process {pid}{of}")
            }
            Occupant::Unreleased => write!(f, "{what} was not given back by processes that have ended"),
            Occupant::Unknown => write!(f, "{what} is used by programs that cannot be seen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(occupant: Occupant) -> Obstacle {
        Obstacle { device: Device::Cuda(0), memory: Some(Size::from_gb(18)), occupant }
    }

    fn annas(supervisor: u32, task: &str) -> Obstacle {
        obstacle(Occupant::Run {
            user: "anna".into(),
            supervisor,
            directory: Some("/home/anna/res".into()),
            task: Some(task.into()),
        })
    }

    fn wait(obstacles: Vec<Obstacle>) -> Wait {
        let cause = WaitCause::Devices { number: 1, memory: Some(Size::from_gb(6)), obstacles };
        let (group, task) = (Name::new("g").unwrap(), Name::new("t").unwrap());
        Wait { group, task, since: Time::ZERO, cause, is_news: true }
    }

    #[test]
    fn the_cause_and_the_holder_are_named() {
        assert_eq!(
            wait(vec![annas(7, "sweep/3")]).to_string(),
            "waiting for a card with 6GB for g/t: 18GB of cuda:0 is held by the run /home/anna/res of anna \
             (task sweep/3, process 7)"
        );
        let process = Occupant::Process { pid: 9, name: Some("Xorg".into()), user: Some("root".into()) };
        let all = [process, Occupant::Unreleased, Occupant::Unknown, Occupant::Unknown].map(obstacle);
        assert_eq!(
            wait(all.into()).to_string(),
            "waiting for a card with 6GB for g/t: 18GB of cuda:0 is used by process 9 (Xorg, root); 18GB of cuda:0 \
             was not given back by processes that have ended; 18GB of cuda:0 is used by programs that cannot be \
             seen; and 1 more"
        );
        assert!(wait(Vec::new()).to_string().ends_with(": none has room"));
    }

    #[test]
    fn another_task_of_the_same_run_is_no_other_cause() {
        let first = wait(vec![annas(7, "sweep/3")]);
        assert!(first.is_like(&wait(vec![annas(7, "sweep/4"), annas(7, "sweep/5")])));
        assert!(!first.is_like(&wait(vec![annas(8, "sweep/3")])));
        let cause = WaitCause::Processors { busy: 0.9, limit: 0.8 };
        assert!(!first.is_like(&Wait { cause, ..first.clone() }));
    }
}
