//! How a session's environment and configuration differ from those of the session before, in words.

use std::collections::BTreeMap;

use fedflow_core::{Config, Dict, Value};

/// The variables that hold lists of directories, with colons between.
const LISTS: [&str; 2] = ["PATH", "PYTHONPATH"];
/// The most directories of a list that are named.
const NAMED: usize = 3;

/// What differs between the environments of two sessions; `None` if nothing does.
pub(in crate::run) fn environment_changes(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let changes = names.into_iter().filter_map(|name| {
        let (before, now) = (before.get(name), now.get(name));
        (before != now).then(|| match (before, now) {
            (Some(before), Some(now)) if LISTS.contains(&name.as_str()) => {
                format!("{name} {}", list_change(before, now))
            }
            _ => {
                change(name, before.map(|value| format!("{value:?}")), now.map(|value| format!("{value:?}")))
            }
        })
    });
    joined(changes)
}

/// What differs between the configurations of two sessions, as they are recorded; `None` if nothing does.
pub(in crate::run) fn configuration_changes(before: &Dict, now: &Dict) -> Option<String> {
    let default = Config::default();
    let mut names: Vec<&str> = before.iter().chain(now.iter()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let changes = names.into_iter().filter_map(|name| {
        let (was, is) = (before.get(name), now.get(name));
        // An earlier version may not have known the key.
        let is_new_key = was.is_none() && default.get(name).as_ref() == is;
        let differs = was != is && !is_new_key;
        differs.then(|| change(name, was.map(Value::in_message), is.map(Value::in_message)))
    });
    joined(changes)
}

fn joined(changes: impl Iterator<Item = String>) -> Option<String> {
    let changes: Vec<String> = changes.collect();
    (!changes.is_empty()).then(|| changes.join("; "))
}

fn change(name: &str, before: Option<String>, now: Option<String>) -> String {
    match (before, now) {
        (Some(before), Some(now)) => format!("{name} is {now} (was {before})"),
        (Some(before), None) => format!("{name} is not set (was {before})"),
        (None, now) => format!("{name} is {} (was not set)", now.unwrap_or_default()),
    }
}

/// What differs between two lists of directories.
fn list_change(before: &str, now: &str) -> String {
    let (before, now): (Vec<&str>, Vec<&str>) = (before.split(':').collect(), now.split(':').collect());
    let more = directories(&now, &before);
    let gone = directories(&before, &now);
    match (more, gone) {
        (None, None) => "has its directories in another order".into(),
        (Some(more), None) => format!("also has {more}"),
        (None, Some(gone)) => format!("lacks {gone}"),
        (Some(more), Some(gone)) => format!("also has {more} and lacks {gone}"),
    }
}

/// The directories of one list that the other lacks.
fn directories(list: &[&str], other: &[&str]) -> Option<String> {
    let found: Vec<&str> = list.iter().filter(|entry| !other.contains(entry)).copied().collect();
    let more = found.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!found.is_empty()).then(|| format!("{}{more}", found.get(..NAMED).unwrap_or(&found).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn every_variable_that_differs_is_named_with_both_values() {
        let before = environment(&[("CONDA_PREFIX", "/a"), ("PATH", "/x:/bin"), ("VIRTUAL_ENV", "/v")]);
        assert_eq!(environment_changes(&before, &before), None);
        let now = environment(&[("CUDA_VISIBLE_DEVICES", "1"), ("PATH", "/bin:/y"), ("VIRTUAL_ENV", "/w")]);
        assert_eq!(
            environment_changes(&before, &now).unwrap(),
            "CONDA_PREFIX is not set (was \"/a\"); CUDA_VISIBLE_DEVICES is \"1\" (was not set); \
             PATH also has /y and lacks /x; VIRTUAL_ENV is \"/w\" (was \"/v\")"
        );
    }

    #[test]
    fn lists_of_directories_are_compared_by_their_directories() {
        assert_eq!(list_change("/a:/b", "/b:/a"), "has its directories in another order");
        assert_eq!(list_change("/a", "/a:/1:/2:/3:/4:/5"), "also has /1, /2, /3 and 2 more");
        assert_eq!(list_change("/a:/b", "/a"), "lacks /b");
    }

    #[test]
    fn a_key_that_an_earlier_version_did_not_know_is_no_difference() {
        let before = Dict::from([("scheduler.max-process", 3_i64)]);
        let mut config = Config::default();
        config.set("scheduler.max-process", &4_i64.into()).unwrap();
        let kept = ["scheduler.max-process", "scheduler.order"];
        let now: Dict = kept.into_iter().filter_map(|key| Some((key, config.get(key)?))).collect();
        assert_eq!(configuration_changes(&before, &now).unwrap(), "scheduler.max-process is 4 (was 3)");
        assert_eq!(configuration_changes(&now, &now), None);
        assert_eq!(
            configuration_changes(&now, &before).unwrap(),
            "scheduler.max-process is 3 (was 4); scheduler.order is not set (was \"added\")"
        );
    }
}
