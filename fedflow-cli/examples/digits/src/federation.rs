//! The federation as task groups that are built in Rust. The caller executes them.

use std::path::PathBuf;

use fedflow_core::{
    Dict, GroupError, Name, Size, SpecError, TaskEntry, TaskGroup, TaskSpec, Value, ValueError, from_value,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tasks::{Aggregate, Split, TrainClient, TrainedModel};

/// The parameters of a federation. The default is the federation of `flow.toml`.
///
/// Execute the groups in this order (here `execute` stands for `Flow::execute`):
///
/// ```no_run
/// # use fedflow_core::TaskGroup;
/// # fn execute(group: &mut TaskGroup) {}
/// use fedflow_digits::Federation;
///
/// let federation = Federation::default();
/// let mut split = federation.split_group()?;
/// execute(&mut split);
/// let mut latest = split.clone();
/// for round in 1..=federation.rounds {
///     let mut train = federation.train_group(round, &split, &latest)?;
///     execute(&mut train);
///     latest = federation.aggregate_group(round, &train)?;
///     execute(&mut latest);
///     println!("round {round}: {:?}", Federation::accuracy(&latest));
/// }
/// # Ok::<(), fedflow_digits::FederationError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Federation {
    /// The number of clients.
    pub clients: u32,
    /// The number of rounds.
    pub rounds: u32,
    /// How similar the clients' mixtures of digits are; see [`Split::alpha`].
    pub alpha: f64,
    /// The number of epochs in each round.
    pub epochs: u32,
    /// The learning rate.
    pub rate: f64,
    /// The number of digits in one step.
    pub batch: u32,
    /// The seed of every random choice; at most `i64::MAX`, as parameters are signed.
    pub seed: u64,
}

impl Default for Federation {
    fn default() -> Self {
        // Most seeds give a little less; the README has the range.
        Self { clients: 10, rounds: 30, alpha: 0.5, epochs: 5, rate: 0.5, batch: 16, seed: 8 }
    }
}

/// Why a group cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// A task did not finish whose result the federation needs to go on.
    #[error("{group}/{task} has no result, so the federation cannot go on")]
    NoResult {
        /// The group.
        group: Name,
        /// The task.
        task: Name,
    },
    /// The group that should hold a result has no task.
    #[error("group {0} is empty")]
    EmptyGroup(Name),
    /// A result is not what this crate's tasks return.
    #[error("{group}/{task} has an unexpected result: {source}")]
    UnexpectedResult {
        /// The group.
        group: Name,
        /// The task.
        task: Name,
        /// The error.
        source: ValueError,
    },
    /// A task cannot be described.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A group does not take a task or its name.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// The part of the result of [`Split`] that later groups need.
#[derive(Deserialize)]
struct Dealt {
    clients: Vec<PathBuf>,
}

/// The part of the results of [`Split`] and [`Aggregate`] that the next round starts from.
#[derive(Deserialize)]
struct SharedModel {
    model: PathBuf,
}

impl Federation {
    /// The first group: one task, [`Split`].
    ///
    /// # Errors
    /// The seed is too large.
    pub fn split_group(&self) -> Result<TaskGroup, FederationError> {
        let split = Split { clients: self.clients, alpha: self.alpha, seed: self.seed, ..Split::default() };
        group("split", [TaskSpec::new("split", &split)?])
    }

    /// The first group of a round (from 1): a [`TrainClient`] for every client.
    ///
    /// `latest` is the group whose model the round starts from: the finished `split` group in round 1, the finished
    /// aggregate group of the last round later.
    ///
    /// # Errors
    /// `split` or `latest` has no result, or the seed is too large.
    pub fn train_group(
        &self,
        round: u32,
        split: &TaskGroup,
        latest: &TaskGroup,
    ) -> Result<TaskGroup, FederationError> {
        let Dealt { clients } = only_result(split)?;
        let SharedModel { model } = only_result(latest)?;
        let specs = (0_u32..).zip(clients).map(|(client, data)| {
            let task = TrainClient {
                data,
                model: model.clone(),
                epochs: self.epochs,
                rate: self.rate,
                batch: self.batch,
                seed: self.train_seed(round, client),
                ..TrainClient::default()
            };
            // Its process stays between rounds, with its digits.
            let name = format!("client-{client}");
            let point = Dict::from([("round", round), ("client", client)]);
            TaskSpec::new(name.clone(), &task).map(|spec| spec.with_keep(name).with_point(point))
        });
        group(&format!("train-{round}"), specs.collect::<Result<Vec<_>, _>>()?)
    }

    /// The second group of a round: one task, [`Aggregate`], over the finished `train` group. Clients that failed
    /// are left out.
    ///
    /// # Errors
    /// A result in `train` is not one of [`TrainClient`].
    pub fn aggregate_group(&self, round: u32, train: &TaskGroup) -> Result<TaskGroup, FederationError> {
        let trained = |task: &TaskEntry| task.result().map(|_| result_of(train, task)).transpose();
        let models = train.tasks().map(trained).collect::<Result<Vec<Option<TrainedModel>>, _>>()?;
        let aggregate = Aggregate { models, ..Aggregate::default() };
        let spec = TaskSpec::new("aggregate", &aggregate)?.with_point(Dict::from([("round", round)]));
        group(&format!("aggregate-{round}"), [spec])
    }

    /// The accuracy on the held-out digits, 0 to 1, that a finished `split` or aggregate group tells; `None` if its
    /// task failed.
    #[must_use]
    pub fn accuracy(group: &TaskGroup) -> Option<f64> {
        group.task_at(0)?.result()?.get("accuracy")?.as_f64()
    }

    /// A different seed for each task.
    fn train_seed(&self, round: u32, client: u32) -> u64 {
        let nth = u64::from(round) * u64::from(self.clients) + u64::from(client);
        self.seed.wrapping_add(nth)
    }
}

fn group(name: &str, specs: impl IntoIterator<Item = TaskSpec>) -> Result<TaskGroup, FederationError> {
    let mut group = TaskGroup::new(name)?;
    // Far less than the default for a task without an estimate, so that many may run on a small machine.
    group.estimate_memory = Some(Size::from_bytes(64_000_000));
    for spec in specs {
        group.add_task(spec)?;
    }
    Ok(group)
}

fn only_result<T: DeserializeOwned>(group: &TaskGroup) -> Result<T, FederationError> {
    let task = group.task_at(0).ok_or_else(|| FederationError::EmptyGroup(group.group_name()))?;
    result_of(group, task)
}

fn result_of<T: DeserializeOwned>(group: &TaskGroup, task: &TaskEntry) -> Result<T, FederationError> {
    let names = || (group.group_name(), task.task_id().clone());
    let Some(result) = task.result() else {
        let (group, task) = names();
        return Err(FederationError::NoResult { group, task });
    };
    from_value(Value::Dict(result.clone())).map_err(|source| {
        let (group, task) = names();
        FederationError::UnexpectedResult { group, task, source }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_group_needs_the_results_of_those_before_it() {
        let federation = Federation::default();
        let split = federation.split_group().unwrap();
        let error = federation.train_group(1, &split, &split).unwrap_err();
        assert_eq!(error.to_string(), "split/split has no result, so the federation cannot go on");
        let empty = TaskGroup::new("nothing").unwrap();
        assert!(matches!(federation.train_group(1, &empty, &split), Err(FederationError::EmptyGroup(_))));
    }

    #[test]
    fn no_two_tasks_share_a_seed() {
        let federation = Federation { clients: 7, rounds: 20, ..Federation::default() };
        let seeds: BTreeSet<u64> = (1..=federation.rounds)
            .flat_map(|round| (0..federation.clients).map(move |client| (round, client)))
            .map(|(round, client)| federation.train_seed(round, client))
            .collect();
        assert_eq!(seeds.len(), 140);
        assert!(!seeds.contains(&federation.seed), "the split has the seed itself");
    }

    #[test]
    fn a_seed_that_no_parameter_can_hold_is_refused() {
        let federation = Federation { seed: u64::MAX, ..Federation::default() };
        assert!(matches!(federation.split_group(), Err(FederationError::Spec(_))));
    }
}
