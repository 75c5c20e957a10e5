//! Tables of results: what a row has, what counts as a replicate, and the figures.

use fedflow_core::{Dict, Failure, FailureKind, RunEvent, Stage, Value};
use fedflow_report::{
    Column, MeanTable, Replicates, ReplicatesError, Report, ResultColumns, ResultRow, find_column,
};
use proptest::prelude::*;

use crate::events::*;

/// What became of a task: a result, a failure, or nothing.
type Outcome = Option<Result<Dict, ()>>;

/// A run of groups, each with the parameters and the outcomes of its tasks.
fn run(groups: &[(&str, Vec<(Dict, Outcome)>)]) -> Report {
    let mut report = Report::new();
    report.apply(1.0, &run_started(1));
    for (place, (group, tasks)) in groups.iter().enumerate() {
        let ids: Vec<String> = (0..tasks.len()).map(|task| format!("t{task}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut start = group_started(group, u32::try_from(place).unwrap() + 1, &ids);
        if let RunEvent::GroupStarted { params, .. } = &mut start {
            params.extend(tasks.iter().map(|(params, _)| params.clone()));
        }
        report.apply(2.0, &start);
        for (id, (_, outcome)) in ids.iter().zip(tasks) {
            let failure = || Failure::new(Stage::Train, FailureKind::Error, "no luck");
            match outcome {
                Some(Ok(result)) => report.apply(3.0, &finished(group, id, 1, result.clone())),
                Some(Err(())) => report.apply(3.0, &failed(group, id, failure())),
                None => {}
            }
        }
    }
    report
}

fn point(lr: f64, seed: i64) -> Dict {
    [("lr", Value::from(lr)), ("seed", Value::from(seed))].into_iter().collect()
}

fn accuracy(value: f64) -> Outcome {
    Some(Ok(Dict::from([("accuracy", value)])))
}

fn rows(runs: &[(&str, &Report)]) -> Vec<ResultRow> {
    runs.iter().flat_map(|(name, report)| ResultRow::of_run(name, report)).collect()
}

/// The table of means as lines of its cells, its columns first.
fn means(rows: &[ResultRow], over: &[&str], by: &[&str]) -> Vec<String> {
    let columns = ResultColumns::of_rows(rows);
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let replicates = Replicates::named(&columns, &owned(over), &owned(by)).unwrap();
    let table = MeanTable::new(rows, &columns, &replicates, false).unwrap();
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Text(text) => text.clone(),
        value => value.in_message(),
    };
    let line = |row| table.cells(row).iter().map(cell).collect::<Vec<_>>().join(" ");
    [table.columns().join(" ")].into_iter().chain(table.rows.iter().map(line)).collect()
}

#[test]
fn a_mean_is_over_the_seeds_and_failures_are_counted() {
    let sweep = run(&[
        ("split", vec![(Dict::new(), Some(Ok(Dict::from([("samples", "many")]))))]),
        (
            "train",
            vec![
                (point(0.1, 0), accuracy(0.5)),
                (point(0.1, 1), accuracy(0.75)),
                (point(0.1, 2), Some(Err(()))),
                (point(1.0, 0), accuracy(0.25)),
                (point(1.0, 1), accuracy(f64::NAN)),
                (point(1.0, 2), None),
                (point(9.0, 0), Some(Err(()))),
            ],
        ),
    ]);
    let rows = rows(&[("res", &sweep)]);
    let expected = [
        "param.lr n failed accuracy.mean accuracy.sd",
        "0.1 2 1 0.625 0.1767766952966369",
        "1 2 0 0.25 -",
        "9 0 1 - -",
    ];
    assert_eq!(means(&rows, &[], &[]), expected);
    assert_eq!(means(&rows, &["seed"], &[]), expected);
    assert_eq!(means(&rows, &[], &["lr"]), expected);
    assert_eq!(means(&rows, &["param.seed"], &["param.lr"]), expected);
    let columns = ResultColumns::of_rows(&rows);
    let table =
        MeanTable::new(&rows, &columns, &Replicates::named(&columns, &[], &[]).unwrap(), false).unwrap();
    assert_eq!(table.left_out().collect::<Vec<_>>(), [("accuracy", 1)]);
    // By the seed, over what is left.
    assert_eq!(means(&rows, &[], &["seed"])[1], "0 2 1 0.375 0.1767766952966369");
}

#[test]
fn what_is_no_replicate_stays_apart() {
    let seeds = || vec![(point(0.1, 0), accuracy(0.5)), (point(0.1, 1), accuracy(0.75))];
    // The groups of one sweep that differ in the seed alone are replicates of each other.
    let by_group = run(&[("s0", vec![seeds().remove(0)]), ("s1", vec![seeds().remove(1)])]);
    assert_eq!(
        means(&rows(&[("a", &by_group)]), &[], &[]),
        ["param.lr n failed accuracy.mean accuracy.sd", "0.1 2 0 0.625 0.1767766952966369"]
    );
    // The same seed in two groups or two runs is not.
    let two_groups = run(&[("train", seeds()), ("eval", seeds())]);
    assert_eq!(
        means(&rows(&[("a", &two_groups)]), &[], &[])[..2],
        ["group param.lr n failed accuracy.mean accuracy.sd", "train 0.1 2 0 0.625 0.1767766952966369"]
    );
    let two_runs = rows(&[("a", &by_group), ("b", &by_group)]);
    assert_eq!(
        means(&two_runs, &[], &[])[1..],
        ["a 0.1 2 0 0.625 0.1767766952966369", "b 0.1 2 0 0.625 0.1767766952966369"]
    );
    assert_eq!(means(&two_runs, &["run", "seed"], &[])[1], "0.1 4 0 0.625 0.14433756729740643");
    assert_eq!(means(&two_runs, &[], &["lr"])[1], "0.1 4 0 0.625 0.14433756729740643", "it was said");
    // Nor are tasks without a seed, or two tasks that only their names tell apart.
    let bare = run(&[("g", [seeds(), vec![(Dict::from([("lr", 0.1)]), accuracy(0.0))]].concat())]);
    assert_eq!(
        means(&rows(&[("a", &bare)]), &[], &[])[1..],
        ["0.1 2 0 0.625 0.1767766952966369", "0.1 1 0 0 -"]
    );
    let twins = run(&[("g", vec![seeds().remove(0), seeds().remove(0)])]);
    assert_eq!(means(&rows(&[("a", &twins)]), &[], &[])[1..], ["t0 0.1 1 0 0.5 -", "t1 0.1 1 0 0.5 -"]);
}

#[test]
fn names_that_nothing_has_are_told() {
    let sweep = run(&[("g", vec![(Dict::from([("lr", 0.1)]), Some(Ok(Dict::from([("note", "x")]))))])]);
    let rows = rows(&[("a", &sweep)]);
    let columns = ResultColumns::of_rows(&rows);
    let named = |over: &[&str]| {
        let over: Vec<String> = over.iter().map(|name| (*name).to_owned()).collect();
        Replicates::named(&columns, &over, &[])
            .map(|replicates| MeanTable::new(&rows, &columns, &replicates, true))
    };
    assert_eq!(named(&[]).unwrap_err(), ReplicatesError::NoneUsual);
    assert_eq!(named(&["sed"]).unwrap_err().to_string(), "no parameter named sed; there is: lr");
    let no_number = named(&["lr"]).unwrap().unwrap_err();
    assert_eq!(no_number.to_string(), "note is a number in no task, so it has no mean");
    let mut columns = columns;
    let unknown = columns.keep_values(&["acc".into()]).unwrap_err();
    assert_eq!(unknown.to_string(), "no value named acc; there is: note");
    let names: Vec<String> = columns.columns().iter().map(Column::name).collect();
    assert_eq!(names, ["run", "group", "task", "status", "param.lr", "result.note"]);
    assert_eq!((find_column(&names, "note"), find_column(&names, "lr")), (Ok(5), Ok(4)));
    assert!(find_column(&names, "x").unwrap_err().to_string().ends_with("status, param.lr, note"));
}

#[test]
fn a_name_means_all_that_is_in_it() {
    let loss = Value::List(vec![0.5.into(), 0.25.into()]);
    let per_class = Value::from(Dict::from([("cat", 1.0), ("dog", 0.0)]));
    let result = Dict::from([("loss", loss), ("per_class", per_class), ("lossy", 1.into())]);
    let sweep = run(&[("g", vec![(Dict::new(), Some(Ok(result)))])]);
    let rows = rows(&[("a", &sweep)]);
    let mut columns = ResultColumns::of_rows(&rows);
    columns.keep_values(&["per_class.dog".into(), "loss".into(), "result.per_class".into()]).unwrap();
    let names: Vec<&str> = columns.values().iter().map(fedflow_report::ResultValue::name).collect();
    assert_eq!(names, ["per_class.dog", "loss.0", "loss.1", "per_class.cat"]);
    let cells: Vec<_> = columns.columns().iter().map(|column| column.value(&rows[0]).in_message()).collect();
    assert_eq!(cells, ["\"a\"", "\"g\"", "\"t0\"", "\"finished\"", "0", "0.5", "0.25", "1"]);
}

/// A number, what is none, or nothing at all.
fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => (-10.0..10.0).prop_map(accuracy),
        1 => Just(accuracy(f64::NAN)),
        1 => Just(Some(Ok(Dict::from([("accuracy", "none")])))),
        1 => Just(Some(Ok(Dict::new()))),
        1 => Just(Some(Err(()))),
        1 => Just(None),
    ]
}

proptest! {
    #[test]
    fn every_number_counts_once(outcomes in prop::collection::vec((0_i64..4, any_outcome()), 1..40)) {
        let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); 4];
        let mut failed = [0; 4];
        let mut tasks = Vec::new();
        for (seed, (lr, outcome)) in (0..).zip(outcomes) {
            let place = usize::try_from(lr).unwrap();
            match &outcome {
                Some(Ok(result)) => {
                    let number = result.get("accuracy").and_then(Value::as_f64);
                    numbers[place].extend(number.filter(|number| !number.is_nan()));
                }
                Some(Err(())) => failed[place] += 1,
                None => {}
            }
            let params: Dict = [("seed", Value::from(seed)), ("lr", Value::from(lr))].into_iter().collect();
            tasks.push((params, outcome));
        }
        let sweep = run(&[("g", tasks)]);
        let rows = rows(&[("a", &sweep)]);
        let columns = ResultColumns::of_rows(&rows);
        let table = MeanTable::new(&rows, &columns, &Replicates::named(&columns, &[], &[]).unwrap(), false).unwrap();
        for row in &table.rows {
            let place = usize::try_from(row.point[0].as_i64().unwrap()).unwrap();
            prop_assert_eq!(row.failed, failed[place]);
            let Some(moments) = row.moments.first() else { continue };
            let numbers = std::mem::take(&mut numbers[place]);
            prop_assert_eq!(moments.count(), numbers.len() as u64);
            prop_assert!(row.finished >= moments.count());
            if let Some(mean) = moments.mean() {
                prop_assert!((mean - numbers.iter().sum::<f64>() / numbers.len() as f64).abs() < 1e-9);
            }
        }
        prop_assert!(numbers.iter().all(Vec::is_empty), "none was left out");
    }
}
