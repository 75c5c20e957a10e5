//! `cargo xtask bench`: what Fedflow reaches, side by side with a bare loop and with what a user would pick instead.

mod bare;
mod criterion;
mod document;
mod flow_run;
mod flow_text;
mod ground;
mod machine;
mod options;
mod outcome;
mod peers;
mod process;
mod rounds;
mod rows;
mod supervisor;
mod table;

use std::path::Path;

use crate::step::Failure;
use ground::Ground;
use options::Options;
use table::Table;

pub(crate) use options::HELP;

/// Measures the rows that were asked for, and prints them as one table.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    if let Some((first, rest)) = arguments.split_first()
        && first == "--criterion"
    {
        return criterion::run(root, rest);
    }
    let options = Options::parse(arguments)?;
    let ground = Ground::prepare(root, &options)?;
    let mut table = Table::default();
    for row in rows::ROWS.iter().filter(|row| options.wants(row.name)) {
        eprintln!("row {}: {}", row.name, row.what);
        table.push(row, (row.measure)(&ground)?);
    }
    let rendered = table.render();
    println!("\n{rendered}");
    if options.write {
        document::write(root, &rendered)?;
    }
    Ok(())
}

/// Measures every row once in a tiny size, with the binaries that the tests have built: whether the rows work.
pub(crate) fn run_quick(root: &Path) -> Result<(), Failure> {
    run(root, &["--quick".to_owned()])
}
