//! `Options`: the arguments of `cargo xtask bench`.

use std::path::PathBuf;

use crate::step::Failure;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
usage: cargo xtask bench [--quick] [--row ROW,..] [--peers | --no-peers] [--python PATH] [--rounds N] [--keep] [--write]
       cargo xtask bench --criterion [ARG..]

  --quick        tiny sizes and no optimiser: shows that every row works, and nothing about time
  --row ROW,..   only these rows, such as B,C; A is A, A' and A'' (in a shell: --row \"A'\")
  --no-peers     without the other runners; --peers has them in a quick table too
  --python PATH  the Python that has joblib, ray, flwr and fedflow, if it is not python3
  --rounds N     how often each side of a row is measured, instead of the row's own number
  --keep         leave the runs' directories in target/bench: ext4 makes new files more slowly for minutes after it
                 has removed thousands, which would distort the next table
  --write        put the table into docs/benchmarks.md
  --criterion    the criterion benchmarks of the crates instead; what follows goes to criterion
";

/// The arguments, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) quick: bool,
    pub(super) write: bool,
    pub(super) keep: bool,
    pub(super) peers: bool,
    pub(super) python: PathBuf,
    pub(super) rounds: Option<usize>,
    rows: Vec<String>,
}

impl Options {
    /// Reads the arguments; `known_rows` has the names of the table's rows.
    pub(super) fn parse(arguments: &[String], known_rows: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            quick: false,
            write: false,
            keep: false,
            peers: true,
            python: "python3".into(),
            rounds: None,
            rows: Vec::new(),
        };
        let mut peers = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().cloned();
                value.ok_or_else(|| Failure::Other(format!("{argument} needs a value\n{HELP}")))
            };
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--write" => options.write = true,
                "--keep" => options.keep = true,
                "--peers" => peers = Some(true),
                "--no-peers" => peers = Some(false),
                "--python" => options.python = value()?.into(),
                "--row" => options.rows.extend(value()?.split(',').map(|row| row.trim().to_owned())),
                "--rounds" => {
                    let text = value()?;
                    let count = text.parse().ok().filter(|count| *count > 0);
                    let refused = || Failure::Other(format!("--rounds {text}: not a number from 1"));
                    options.rounds = Some(count.ok_or_else(refused)?);
                }
                unknown => return Err(Failure::Other(format!("unknown argument {unknown}\n{HELP}"))),
            }
        }
        options.peers = peers.unwrap_or(!options.quick);
        if let Some(unknown) = options.rows.iter().find(|row| !known_rows.contains(&&row[..])) {
            return Err(Failure::Other(format!("there is no row {unknown}\n{HELP}")));
        }
        if options.write && (options.quick || !options.rows.is_empty()) {
            return Err(Failure::Other("--write needs the whole table in full size".into()));
        }
        Ok(options)
    }

    /// Whether a row is measured. A letter alone stands for all rows that begin with it.
    pub(super) fn wants(&self, row: &str) -> bool {
        let named =
            |wanted: &String| wanted == row || (wanted.len() == 1 && row.starts_with(wanted.as_str()));
        self.rows.is_empty() || self.rows.iter().any(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, &["A", "A'", "A''", "B", "C", "E"])
    }

    #[test]
    fn a_letter_selects_all_its_rows_and_a_prime_one() {
        let letter = parse("--row A,C").unwrap();
        assert!(letter.wants("A") && letter.wants("A''") && letter.wants("C") && !letter.wants("B"));
        let prime = parse("--row A'").unwrap();
        assert!(prime.wants("A'") && !prime.wants("A") && !prime.wants("A''"));
        assert!(parse("").unwrap().wants("E"));
    }

    #[test]
    fn peers_are_measured_unless_it_is_quick() {
        assert!(parse("").unwrap().peers);
        assert!(!parse("--quick").unwrap().peers);
        assert!(parse("--quick --peers").unwrap().peers);
        assert!(!parse("--no-peers").unwrap().peers);
    }

    #[test]
    fn half_a_table_is_not_written() {
        for refused in ["--write --quick", "--write --row B", "--row Z", "--rounds 0", "--rounds", "--fast"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
