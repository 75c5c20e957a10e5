//! `cargo xtask bench`: measures Fedflow side by side with a bare loop and with other runners.

mod bench_setup;
mod criterion_benches;
mod options;
mod peers;
mod result_table;
mod row_sizes;
mod rows;
mod runs;

use std::path::Path;

use self::bench_setup::BenchSetup;
use self::options::Options;
use self::result_table::benchmarks_page;
use self::result_table::markdown_table::MarkdownTable;
use crate::step::Failure;

pub(crate) use self::options::HELP;

/// Measures the rows that the arguments ask for and prints them as one table.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    if let Some((first, rest)) = arguments.split_first()
        && first == "--criterion"
    {
        return criterion_benches::run(root, rest);
    }
    let names: Vec<&str> = rows::ROWS.iter().map(|row| row.name).collect();
    let options = Options::parse(arguments, &names)?;
    let setup = BenchSetup::prepare(root, &options)?;
    let mut table = MarkdownTable::default();
    for row in rows::ROWS.iter().filter(|row| options.wants(row.name)) {
        eprintln!("row {}: {}", row.name, row.what);
        table.push(row, (row.measure)(&setup)?);
    }
    let rendered = table.render();
    println!("\n{rendered}");
    if options.write {
        benchmarks_page::write(root, &rendered)?;
    }
    Ok(())
}

/// Measures every row once in a tiny size, with the binaries that the tests have built, to see that the rows work.
pub(crate) fn run_quick(root: &Path) -> Result<(), Failure> {
    run(root, &["--quick".to_owned()])
}
