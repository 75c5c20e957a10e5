//! `FailureKinds`: failed tasks by what they failed of, so that equal failures are told once.

use indexmap::IndexMap;

use crate::model::name::Name;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};

/// Failed tasks by the kind of their failure: failures are of one kind if they differ only in what each says of its own
/// task. It keeps `KINDS` kinds at most, and `NAMED` tasks of each; the others are counted.
///
/// ```
/// use fedflow_core::{Failure, FailureKind, FailureKinds, Name, Stage};
///
/// let mut kinds = FailureKinds::<u32, 10, 3>::default();
/// for client in 0..6 {
///     let id = Name::new(&format!("client-{client}"))?;
///     let failure = Failure::new(Stage::Start, FailureKind::Error, format!("{id}: missing field `rate`"));
///     kinds.add(&failure, &id, None, client);
/// }
/// let kind = kinds.iter().next().unwrap();
/// assert_eq!((kind.tasks, &kind.named[..]), (6, &[0, 1, 2][..]));
/// assert_eq!(kind.failure.message, "client-0: missing field `rate`");
/// # Ok::<(), fedflow_core::NameError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FailureKinds<T, const KINDS: usize, const NAMED: usize> {
    kinds: IndexMap<Likeness, AlikeTasks<T>>,
    left_out: u64,
}

/// Tasks that failed in the same way.
#[derive(Debug, Clone)]
pub struct AlikeTasks<T> {
    /// The failure of the first one.
    pub failure: Failure,
    /// The first tasks.
    pub named: Vec<T>,
    /// How many there are.
    pub tasks: u64,
}

impl<T> AlikeTasks<T> {
    /// How many of them are not named.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.tasks.saturating_sub(self.named.len() as u64)
    }
}

impl<T, const KINDS: usize, const NAMED: usize> Default for FailureKinds<T, KINDS, NAMED> {
    fn default() -> Self {
        Self { kinds: IndexMap::new(), left_out: 0 }
    }
}

impl<T, const KINDS: usize, const NAMED: usize> FailureKinds<T, KINDS, NAMED> {
    /// Adds a failed task, which is told as `entry`. Returns the tasks of its kind, itself among them; `None` if there are
    /// too many kinds.
    pub fn add(
        &mut self,
        failure: &Failure,
        task: &Name,
        workdir: Option<&str>,
        entry: T,
    ) -> Option<&AlikeTasks<T>> {
        let likeness = Likeness::of(failure, task, workdir);
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&likeness) {
            self.left_out += 1;
            return None;
        }
        let first = || AlikeTasks { failure: failure.clone(), named: Vec::new(), tasks: 0 };
        let alike = self.kinds.entry(likeness).or_insert_with(first);
        alike.tasks += 1;
        if alike.named.len() < NAMED {
            alike.named.push(entry);
        }
        Some(alike)
    }

    /// The kinds, in the order of their first failures.
    pub fn iter(&self) -> impl Iterator<Item = &AlikeTasks<T>> {
        self.kinds.values()
    }

    /// The number of tasks that failed in yet other ways.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// What failures of one kind have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Likeness {
    stage: Stage,
    kind: FailureKind,
    message: String,
    last_line: Option<String>,
}

impl Likeness {
    fn of(failure: &Failure, task: &Name, workdir: Option<&str>) -> Self {
        let own = |text: &str| without_own(text, task.as_str(), workdir);
        Self {
            stage: failure.stage,
            kind: failure.kind,
            message: own(&failure.message),
            last_line: failure.last_line().map(own),
        }
    }
}

/// A text without what is a task's own: its directory, its identifier, addresses in memory. Other numbers stay: they may
/// be what tells two failures apart.
fn without_own(text: &str, task: &str, workdir: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(workdir) = workdir.filter(|workdir| workdir.len() > 1) {
        text = without_word(&text, workdir, "{workdir}");
    }
    // A bare number may mean anything.
    if task.chars().any(char::is_alphabetic) && task.len() > 2 {
        text = without_word(&text, task, "{task}");
    }
    without_addresses(&text)
}

/// Replaces a word where it is not a part of a longer one.
fn without_word(text: &str, word: &str, placeholder: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut replaced = String::with_capacity(text.len());
    let mut done = 0;
    for (start, _) in text.match_indices(word) {
        let end = start + word.len();
        if !text[..start].ends_with(is_part) && !text[end..].starts_with(is_part) {
            replaced.push_str(&text[done..start]);
            replaced.push_str(placeholder);
            done = end;
        }
    }
    replaced.push_str(&text[done..]);
    replaced
}

/// Replaces addresses in memory, such as those of objects: hexadecimal numbers of eight digits and more.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        replaced.push_str("0x");
        replaced.push_str(if digits < 8 { part } else { &part[digits..] });
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Kinds = FailureKinds<String, 3, 2>;

    fn failure(kind: FailureKind, message: &str, stderr_tail: &str) -> Failure {
        Failure { stderr_tail: stderr_tail.into(), ..Failure::new(Stage::Train, kind, message) }
    }

    fn counts<'a>(failures: impl IntoIterator<Item = (&'a str, Failure)>) -> (Vec<u64>, u64) {
        let mut kinds = Kinds::default();
        for (task, failure) in failures {
            let workdir = format!("/res/g/{task}");
            kinds.add(&failure, &Name::new(task).unwrap(), Some(&workdir), task.to_owned());
        }
        (kinds.iter().map(|kind| kind.tasks).collect(), kinds.left_out())
    }

    #[test]
    fn failures_that_differ_in_their_own_task_are_alike() {
        let of = |task: &'static str| {
            let message =
                format!("no /res/g/{task}/data.npy for {task}: <Set at 0x7f00{}aa>", task.len() * 1111);
            (task, failure(FailureKind::Error, &message, "noise"))
        };
        assert_eq!(counts([of("client-1"), of("client-10"), of("a"), of("b")]).0.len(), 1 + 1 + 1);
        assert_eq!(counts([of("client-1"), of("client-10")]), (vec![2], 0));
    }

    #[test]
    fn numbers_tell_failures_apart() {
        let of = |task, message: &str| (task, failure(FailureKind::Exit, message, ""));
        assert_eq!(
            counts([of("1", "exit code 1"), of("2", "exit code 2"), of("3", "exit code 2")]),
            (vec![1, 2], 0)
        );
    }

    #[test]
    fn what_a_program_said_last_tells_its_exits_apart() {
        let exit = |task, said: &str| (task, failure(FailureKind::Exit, "exit code 1", said));
        let exits = [
            exit("a", "Traceback\nKeyError: 3"),
            exit("b", "ValueError: x\n"),
            exit("c", "other\nKeyError: 3"),
        ];
        assert_eq!(counts(exits), (vec![2, 1], 0));
        let error = |task, said: &str| (task, failure(FailureKind::Error, "no data", said));
        assert_eq!(
            counts([error("a", "epoch 1"), error("b", "epoch 2")]),
            (vec![2], 0),
            "the message says it"
        );
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let of = |task: &'static str, message: &str| (task, failure(FailureKind::Error, message, ""));
        let many = [
            of("a", "1"),
            of("b", "2"),
            of("c", "3"),
            of("d", "4"),
            of("e", "5"),
            of("f", "1"),
            of("g", "1"),
        ];
        assert_eq!(counts(many), (vec![3, 1, 1], 2));
    }

    proptest! {
        #[test]
        fn texts_that_differ_in_the_task_alone_become_one(before in any::<String>(), after in any::<String>()) {
            let of = |task: &str, workdir: &str| {
                without_own(&format!("{before} {task} {workdir}/{task}: {after}"), task, Some(workdir))
            };
            prop_assert_eq!(of("client-17", "/res/g/client-17"), of("client-8", "/res/h/client-8"));
        }
    }
}
