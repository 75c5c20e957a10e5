//! The fingerprints of a group and of its tasks: numbers that tell whether what is recorded is made of the same.

use std::fmt::Write;

use crate::model::fnv::Fnv1a;
use crate::model::value::Dict;
use crate::work::entry::TaskEntry;
use crate::work::group::TaskGroup;

/// The fingerprint of a group. It depends on the group's name and on the identifier, program and parameters of each
/// task, and the directory in which it works if that is not its own, in the order in which they were added. Limits,
/// estimates and pins have no part in it, as they may change between two sessions of a run. Nor have the parameters for
/// `train` of a group that loads ahead, as they are unknown when the group begins.
#[must_use]
pub fn fingerprint(group: &TaskGroup) -> u64 {
    let mut hash = Fnv1a::default();
    // Writing to the hash cannot fail.
    let _ = write!(hash, "{}\0", group.group_name());
    group.tasks().for_each(|task| add(&mut hash, group, task));
    hash.value()
}

/// The fingerprint of one task of a group, by what counts in that of the group.
#[must_use]
pub fn task_fingerprint(group: &TaskGroup, task: &TaskEntry) -> u64 {
    let mut hash = Fnv1a::default();
    add(&mut hash, group, task);
    hash.value()
}

fn add(hash: &mut Fnv1a, group: &TaskGroup, task: &TaskEntry) {
    let (spec, later) = (task.spec(), Dict::new());
    let train_params = if group.load_ahead { &later } else { &spec.train_params };
    // Writing to the hash cannot fail.
    let _ = write!(
        hash,
        "{}\0{:?}\0{:?}\0{:?}\0{:?}\0",
        spec.task_id,
        spec.program,
        spec.params,
        train_params,
        task.broken()
    );
    // Only where there is one: groups that earlier versions recorded must be found again.
    if let Some(cwd) = &spec.cwd {
        let _ = write!(hash, "{cwd:?}\0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dict, Name, TaskSpec};

    const TASK_A: u64 = 15_487_764_903_353_447_727;

    fn group(lr: f64) -> TaskGroup {
        let mut group = TaskGroup::new("train").unwrap();
        let mut spec = TaskSpec::command("a", ["train", "--fast"]).unwrap();
        spec.params = Dict::from([("lr", lr)]);
        group.add_task(spec).unwrap();
        group
    }

    #[test]
    fn what_is_set_later_does_not_count() {
        let fingerprint_with = |train: f64, ahead| {
            let mut group = group(0.1);
            group.load_ahead = ahead;
            group.set_train_params(&Name::new("a").unwrap(), Dict::from([("weights", train)])).unwrap();
            fingerprint(&group)
        };
        assert_eq!(fingerprint_with(1.0, true), fingerprint_with(2.0, true));
        assert_ne!(fingerprint_with(1.0, false), fingerprint_with(2.0, false));
    }

    #[test]
    fn parameters_count_and_limits_do_not() {
        let mut other = group(0.1);
        other.limits.retries = Some(3);
        assert_eq!(fingerprint(&group(0.1)), fingerprint(&other));
        assert_ne!(fingerprint(&group(0.1)), fingerprint(&group(0.2)));
        let mut elsewhere = TaskGroup::new("train").unwrap();
        let spec = group(0.1).tasks().next().unwrap().spec().clone();
        elsewhere.add_task(spec.with_cwd("/data")).unwrap();
        assert_ne!(fingerprint(&group(0.1)), fingerprint(&elsewhere));
        // A fixed number: groups that earlier versions recorded must be found again.
        assert_eq!(fingerprint(&group(0.1)), 15_568_779_654_890_887_073);
        let of_task = |group: &TaskGroup| task_fingerprint(group, group.get_task("a").unwrap());
        assert_eq!(of_task(&group(0.1)), of_task(&other));
        assert_ne!(of_task(&group(0.1)), of_task(&group(0.2)));
        assert_eq!(of_task(&group(0.1)), TASK_A, "what was recorded must be found again");
    }
}
