//! `Family`: tasks that are expected to need about the same memory.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::model::fnv::Fnv1a;
use crate::model::name::Name;
use crate::model::value::{Dict, Value};
use crate::work::spec::{Program, TaskSpec};

/// The tasks with which a task is compared when its memory is estimated.
///
/// Each task belongs to three families, from the widest to its own:
///
/// 1. the tasks of the same program and group: the worker and the kind, or the command's program, and the group's name
///    without the number of the round, so that one round teaches the next;
/// 2. of these, the tasks whose parameters make the same *choices*: texts and truth values, such as
///    `model = "resnet50"`. Numbers do not count, as most are seeds and rates, and a family of one task would learn
///    nothing in time. Paths do not count either;
/// 3. of these, the task itself: its identifier and all its parameters but the number of the round. It is met again in
///    the next round, in the next attempt and in the next run.
///
/// Parameters for `train` do not count: they may come late, and mostly hold what earlier tasks have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    name: Arc<str>,
    /// From the widest to the narrowest.
    keys: [u64; 3],
}

/// The endings of scripts, which an interpreter runs.
const SCRIPT_ENDINGS: [&str; 6] = ["py", "sh", "jl", "R", "pl", "rb"];

/// A longer text is not a choice among a few.
const LONGEST_CHOICE: usize = 32;

impl Family {
    /// The family of a task in a group of this name.
    #[must_use]
    pub fn of(group: &Name, spec: &TaskSpec) -> Self {
        let mut rounds = Vec::new();
        let stem = stem(group.as_str(), |number| rounds.push(number));
        let mut hash = Fnv1a::default();
        let program = program_name(&spec.program);
        let name: Arc<str> = format!("{stem}: {program}").into();
        // Writing to a hash cannot fail, here and below.
        let _ = write!(hash, "{stem}\0{:?}\0", program);
        let widest = hash.value();
        write_choices(&mut hash, spec);
        let choices = hash.value();
        let _ = write!(hash, "{}\0{:?}\0", spec.task_id, arguments(&spec.program));
        write_params(&mut hash, &spec.params, &rounds);
        Self { name, keys: [widest, choices, hash.value()] }
    }

    /// The name of the widest family of the tasks of a group that this program runs.
    pub(crate) fn name_of(group: &Name, program: &Program) -> String {
        format!("{}: {}", stem(group.as_str(), |_| ()), program_name(program))
    }

    /// The same name, which shares the memory of `other` if the two are equal.
    pub(crate) fn name_like(other: &Arc<str>, group: &Name, program: &Program) -> Arc<str> {
        let name = Self::name_of(group, program);
        if *name == **other { Arc::clone(other) } else { name.into() }
    }

    /// The name of the widest family, for people: `train-*: digits train-client`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another task makes the same choices.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.keys[1] == other.keys[1]
    }

    /// The key of the tasks that make the same choices.
    pub(crate) fn choices(&self) -> u64 {
        self.keys[1]
    }

    /// The keys of its three families, the widest first.
    pub(super) fn keys(&self) -> [u64; 3] {
        self.keys
    }
}

/// The program of a task, in a few words.
fn program_name(program: &Program) -> String {
    let command = match program {
        Program::Worker { worker, kind } => return format!("{worker} {kind}"),
        Program::Command { train, .. } => train,
    };
    let file_name = |text: &str| {
        Path::new(text)
            .file_name()
            .map_or_else(|| text.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let Some(first) = command.program() else { return String::new() };
    let rest: Vec<&str> = command.iter().skip(1).take(5).collect();
    let mut name = file_name(first);
    // `python3 train.py` and `python3 -m trainer` are programs of their own; the arguments that follow are theirs.
    let is_script = |text: &str| SCRIPT_ENDINGS.iter().any(|ending| ends_with(text, ending));
    let module = rest.windows(2).take(4).find(|pair| pair[0] == "-m").map(|pair| pair[1].to_owned());
    let script = rest.iter().take(4).find(|text| is_script(text)).map(|text| file_name(text));
    if let Some(script) = module.or(script) {
        name.push(' ');
        name.push_str(&script);
    }
    name
}

fn ends_with(text: &str, ending: &str) -> bool {
    Path::new(text).extension().is_some_and(|extension| extension == ending)
}

fn arguments(program: &Program) -> Vec<&str> {
    match program {
        Program::Worker { .. } => Vec::new(),
        Program::Command { train, .. } => train.iter().collect(),
    }
}

fn write_choices(hash: &mut Fnv1a, spec: &TaskSpec) {
    let is_choice = |text: &str| text.len() <= LONGEST_CHOICE && !text.contains('/');
    for argument in arguments(&spec.program).into_iter().filter(|argument| is_choice(argument)) {
        let _ = write!(hash, "{}\0", stem(argument, |_| ()));
    }
    for (key, value) in spec.params.iter() {
        let _ = match value {
            Value::Bool(choice) => write!(hash, "{key}\0{choice}\0"),
            Value::Text(text) if is_choice(text) => write!(hash, "{key}\0{}\0", stem(text, |_| ())),
            _ => Ok(()),
        };
    }
}

/// All parameters, without the number of the round or of the round before.
fn write_params(hash: &mut Fnv1a, params: &Dict, rounds: &[u64]) {
    let is_round = |number: u64| rounds.iter().any(|&round| number == round || number + 1 == round);
    for (key, value) in params.iter() {
        let _ = match value {
            Value::Int(number) if u64::try_from(*number).is_ok_and(is_round) => write!(hash, "{key}\0*\0"),
            Value::Text(text) => write!(hash, "{key}\0{}\0", starred(text, is_round, |_| ())),
            value => write!(hash, "{key}\0{value:?}\0"),
        };
    }
}

/// A text with a star for each whole word of digits: `train-3` becomes `train-*`, `resnet50` stays. `number` is called
/// with each.
fn stem(text: &str, number: impl FnMut(u64)) -> String {
    starred(text, |_| true, number)
}

fn starred(text: &str, takes: impl Fn(u64) -> bool, mut number: impl FnMut(u64)) -> String {
    let mut starred = String::with_capacity(text.len());
    for piece in text.split_inclusive(|character: char| !character.is_alphanumeric()) {
        let end = piece.char_indices().last().filter(|(_, last)| !last.is_alphanumeric());
        let (word, rest) = piece.split_at(end.map_or(piece.len(), |(place, _)| place));
        match word.parse::<u64>() {
            // `parse` would accept a sign, but a sign ends a word.
            Ok(digits) if takes(digits) => {
                number(digits);
                starred.push('*');
            }
            _ => starred.push_str(word),
        }
        starred.push_str(rest);
    }
    starred
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(group: &str, id: &str, params: &[(&str, Value)]) -> Family {
        let program = Program::Worker { worker: "digits".into(), kind: "train".into() };
        let params = params.iter().map(|(key, value)| (*key, value.clone())).collect();
        Family::of(
            &Name::new(group).unwrap(),
            &TaskSpec::of(Name::new(id).unwrap(), Arc::new(program), params),
        )
    }

    fn of_command(command: &[&str]) -> Family {
        let spec = TaskSpec::command("a", command.iter().copied()).unwrap();
        Family::of(&Name::new("sweep").unwrap(), &spec)
    }

    #[test]
    fn a_task_is_met_again_in_the_next_round() {
        let weights = |round: u64| Value::Text(format!("/res/aggregate-{round}/w.bin"));
        let in_round = |round: u64, client: i64| {
            let round_number = i64::try_from(round).unwrap();
            let params =
                [("round", round_number.into()), ("from", weights(round - 1)), ("client", client.into())];
            family(&format!("train-{round}"), &format!("client-{client}"), &params)
        };
        assert_eq!(in_round(3, 7), in_round(4, 7));
        assert_eq!(in_round(3, 7).name(), "train-*: digits train");
        let (seven, eight) = (in_round(3, 7), in_round(3, 8));
        assert_eq!(seven.keys()[..2], eight.keys()[..2], "a number is no choice");
        assert_ne!(seven.keys()[2], eight.keys()[2]);
    }

    #[test]
    fn choices_split_a_family_and_seeds_do_not() {
        let with = |model: &str, seed: i64| {
            family("sweep", &format!("{model}-{seed}"), &[("model", model.into()), ("seed", seed.into())])
        };
        assert_eq!(with("resnet18", 1).keys()[1], with("resnet18", 2).keys()[1]);
        assert_ne!(with("resnet18", 1).keys()[1], with("resnet50", 1).keys()[1]);
        assert_eq!(with("resnet18", 1).keys()[0], with("resnet50", 1).keys()[0]);
        assert_ne!(
            family("sweep", "a", &[("amp", true.into())]).keys()[1],
            family("sweep", "a", &[]).keys()[1]
        );
    }

    #[test]
    fn commands_are_known_by_what_they_run() {
        let a = of_command(&["/usr/bin/python3", "code/train.py", "--model=vit", "--seed", "1", "out/1"]);
        let b = of_command(&["/usr/bin/python3", "code/train.py", "--model=vit", "--seed", "2", "out/2"]);
        let c = of_command(&["/usr/bin/python3", "code/train.py", "--model=mlp", "--seed", "2", "out/2"]);
        assert_eq!(a.name(), "sweep: python3 train.py");
        assert_eq!(a.keys()[1], b.keys()[1]);
        assert_ne!(a.keys()[2], b.keys()[2]);
        assert_ne!(b.keys()[1], c.keys()[1]);
        assert_eq!(of_command(&["python3", "-m", "trainer", "x"]).name(), "sweep: python3 trainer");
        assert_eq!(of_command(&["./train", "0.1"]).name(), "sweep: train");
    }

    #[test]
    fn only_whole_words_of_digits_are_starred() {
        for (text, expected) in
            [("train-3", "train-*"), ("3", "*"), ("resnet50.v2-010", "resnet50.v2-*"), ("ä-7-", "ä-*-")]
        {
            assert_eq!(stem(text, |_| ()), expected);
        }
    }
}
