//! The scheduler's rules about itself, checked after every step of every test.

use super::worker::Phase;
use super::{Scheduler, TaskProgress};

impl Scheduler {
    /// Checks the scheduler's own rules; for tests after each step.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn sanity_check(&self) -> Result<(), String> {
        self.check_counts()?;
        for (index, group) in &self.groups {
            let of_group = || self.workers.values().filter(|worker| worker.task.group == *index);
            let ahead = of_group().filter(|worker| worker.ahead).count();
            // Who waits again with its data after an out-of-memory was not started for it: it does not count.
            let again = of_group().filter(|worker| worker.ahead && worker.trained.is_some()).count();
            let may_load = of_group().filter(|worker| worker.ahead && worker.admitted).count();
            if may_load != group.admitted as usize
                || may_load - again > self.config.scheduler.max_waiting as usize
            {
                return Err(format!("{may_load} workers may load, booked are {}", group.admitted));
            }
            if ahead != group.ahead as usize {
                return Err(format!("{ahead} workers are ahead of the devices, booked are {}", group.ahead));
            }
            if of_group().filter(|worker| matches!(worker.phase, Phase::Waiting)).count()
                != group.waiting.len()
            {
                return Err("the queue of those who wait is not those who wait".into());
            }
            if of_group().count() != group.workers {
                return Err(format!("{} workers are booked for group {index}", group.workers));
            }
            let open = group.tasks.iter().filter(|task| task.progress != TaskProgress::Over).count();
            if open != group.open {
                return Err(format!("{open} tasks are open, booked are {}", group.open));
            }
        }
        for (id, worker) in &self.workers {
            let Some(task) = self.task(worker.task) else {
                return Err(format!("worker {id:?} is at a task of no group"));
            };
            let belongs = match worker.phase {
                Phase::Exiting { .. } => task.progress == TaskProgress::Over,
                _ => task.progress == TaskProgress::Running(*id) || task.progress == TaskProgress::Over,
            };
            if !belongs {
                return Err(format!("worker {id:?} is at a task that is {:?}", task.progress));
            }
            if matches!(worker.phase, Phase::Training { .. }) && worker.task.group != self.turn {
                return Err(format!("worker {id:?} trains before the turn of its group"));
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), String> {
        let processes = self.workers.len() + self.kept.len() + self.leaving.len();
        if processes > self.config.scheduler.max_process as usize {
            return Err(format!("{processes} processes"));
        }
        let count = |test: fn(&Phase) -> bool| self.workers.values().filter(|w| test(&w.phase)).count();
        if count(|phase| matches!(phase, Phase::Training { .. })) != self.training as usize {
            return Err(format!("{} workers are booked as training", self.training));
        }
        let unadmitted = self.workers.values().filter(|worker| !worker.admitted).count();
        if unadmitted != self.unadmitted {
            return Err(format!("{unadmitted} workers have no room yet, booked are {}", self.unadmitted));
        }
        Ok(())
    }
}
