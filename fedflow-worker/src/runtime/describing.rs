//! What a worker says of itself when it is asked to: its task kinds, and whether parameters fit them.

use std::io::{self, BufRead, Write};

use super::panics;
use super::task_kinds::Kinds;
use crate::processes::own_process::own_environment;
use crate::protocol::{MAX_ITEM, answer_line, kinds_line, read_question, shortened};

/// Writes the task kinds, then an answer to each question on standard input, if the caller asks any.
///
/// # Errors
/// The caller is gone.
pub(super) fn describe(kinds: &Kinds) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(kinds_line(&kinds.names()).as_bytes())?;
    out.flush()?;
    if own_environment::get(own_environment::DESCRIBE_PARAMS).is_some() {
        answer_all(kinds, io::stdin().lock(), &mut out)?;
    }
    Ok(())
}

/// Answers until there is no question left. A task is made of the parameters, and dropped: nothing of it is run.
fn answer_all(kinds: &Kinds, questions: impl BufRead, answers: &mut impl Write) -> io::Result<()> {
    for question in questions.lines() {
        let Some((kind, params)) = read_question(&question?) else { return Ok(()) };
        // Deserialising and dropping run user code.
        let made = panics::catch(|| kinds.make(&kind, params).map(drop)).and_then(|made| made);
        let misfit = made.err().map(|message| shortened(message, MAX_ITEM));
        answers.write_all(answer_line(misfit.as_deref()).as_bytes())?;
        answers.flush()?;
    }
    Ok(())
}
