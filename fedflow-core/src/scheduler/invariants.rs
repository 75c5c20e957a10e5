//! The scheduler's rules about itself, checked after every step of every test.

use super::worker::Phase;
use super::{Scheduler, TaskProgress};

impl Scheduler {
    /// Checks the scheduler's own rules; for tests after each step.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn sanity_check(&self) -> Result<(), String> {
        let count = |test: fn(&Phase) -> bool| self.workers.values().filter(|w| test(&w.phase)).count();
        let ahead = self.workers.values().filter(|worker| worker.ahead).count();
        if ahead != self.ahead as usize || ahead > self.config.scheduler.max_waiting as usize {
            return Err(format!("{ahead} workers are ahead of the devices, booked are {}", self.ahead));
        }
        if self.workers.len() > self.config.scheduler.max_process as usize {
            return Err(format!("{} processes", self.workers.len()));
        }
        if count(|phase| matches!(phase, Phase::Waiting)) != self.waiting.len() {
            return Err("the queue of those who wait is not those who wait".into());
        }
        let open = self.tasks.iter().filter(|task| task.progress != TaskProgress::Over).count();
        if open != self.open {
            return Err(format!("{open} tasks are open, booked are {}", self.open));
        }
        for (id, worker) in &self.workers {
            let task = &self.tasks[worker.place as usize];
            let belongs = match worker.phase {
                Phase::Exiting { .. } => task.progress == TaskProgress::Over,
                _ => task.progress == TaskProgress::Running(*id) || task.progress == TaskProgress::Over,
            };
            if !belongs {
                return Err(format!("worker {id:?} is at a task that is {:?}", task.progress));
            }
        }
        Ok(())
    }
}
