//! `Environment`: the variables that a process is started with, and the names of Fedflow's own.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use crate::processes::own_process::own_environment::{
    BOOTSTRAP, CWD, DESCRIBE, DESCRIBE_PARAMS, FD, TOKEN,
};

/// The names of the variables that a task's process finds.
pub(crate) const TASK_ID: &str = "FEDFLOW_TASK_ID";
pub(crate) const GROUP: &str = "FEDFLOW_GROUP";
pub(crate) const WORKDIR: &str = "FEDFLOW_WORKDIR";
pub(crate) const ATTEMPT: &str = "FEDFLOW_ATTEMPT";
pub(crate) const CHECKPOINT_DIR: &str = "FEDFLOW_CHECKPOINT_DIR";
pub(crate) const DEVICE: &str = "FEDFLOW_DEVICE";
pub(crate) const CARD: &str = "FEDFLOW_CARD";
pub(crate) const LEASE: &str = "FEDFLOW_LEASE";
/// What a task uses of a simulated card.
pub(crate) const SIM_USE: &str = "FEDFLOW_SIM_USE";
pub(crate) const RESULT: &str = "FEDFLOW_RESULT";

const PREFIX: &[u8] = b"FEDFLOW_";

/// The variables of a process: one text `NAME=value` for each. A clone shares what was [made common](Self::into_common).
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    common: Arc<[Variable]>,
    /// These take precedence over the common ones.
    own: Vec<Variable>,
    /// The name of a variable that no process can be given, as it holds a zero byte.
    unfit: Option<OsString>,
}

/// A variable as the kernel takes it.
#[derive(Debug, Clone)]
struct Variable {
    /// `NAME=value`.
    text: CString,
    /// How long the name is, with the `=` after it, in bytes.
    name: usize,
}

impl Variable {
    fn new(name: &OsStr, value: &OsStr) -> Option<Self> {
        let mut text = Vec::with_capacity(name.len() + value.len() + 2);
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        Some(Self { text: CString::new(text).ok()?, name: name.len() + 1 })
    }

    /// The name with the `=` after it. No other variable's text begins with it.
    fn name(&self) -> &[u8] {
        &self.text.as_bytes()[..self.name]
    }

    fn is(&self, name: &OsStr) -> bool {
        self.name().split_last().is_some_and(|(_, own)| own == name.as_bytes())
    }

    fn value(&self) -> &OsStr {
        OsStr::from_bytes(&self.text.as_bytes()[self.name..])
    }
}

impl Environment {
    /// This process's environment without Fedflow's own variables, which are meant for this process or hold secrets.
    pub(crate) fn inherited() -> Self {
        let mut environment = Self::default();
        for (name, value) in env::vars_os().filter(|(name, _)| !name.as_bytes().starts_with(PREFIX)) {
            environment.set(name, value);
        }
        environment
    }

    /// Sets a variable, over an earlier value.
    pub(crate) fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.own.retain(|variable| !variable.is(name));
        self.unfit.take_if(|unfit| unfit == name);
        match Variable::new(name, value) {
            Some(variable) => self.own.push(variable),
            None => self.unfit = Some(name.into()),
        }
    }

    /// Sets a variable that is not set.
    pub(crate) fn set_if_missing(&mut self, name: &str, value: impl AsRef<OsStr>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// What a variable is set to.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let all = self.own.iter().chain(&*self.common);
        all.into_iter().find(|variable| variable.is(name.as_ref())).map(Variable::value)
    }

    /// The same variables, shared by all clones.
    pub(crate) fn into_common(self) -> Self {
        let common = self.all().cloned().collect();
        Self { common, own: Vec::new(), unfit: self.unfit }
    }

    /// Every variable once.
    ///
    /// # Errors
    /// The name or the value of one holds a zero.
    pub(crate) fn checked_texts(&self) -> io::Result<impl Iterator<Item = &CStr>> {
        match &self.unfit {
            None => Ok(self.all().map(|variable| variable.text.as_c_str())),
            Some(name) => {
                let text = format!("the variable {} holds a zero byte", name.display());
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Variable> {
        let is_hidden = |variable: &Variable| {
            let text = variable.text.as_bytes();
            self.own.iter().any(|own| text.starts_with(own.name()))
        };
        let common = self.common.iter().filter(move |variable| !is_hidden(variable));
        common.chain(&self.own)
    }

    /// Finds a program that is named without a separator in the `PATH` of these variables.
    pub(crate) fn find_program(&self, name: &OsStr) -> Option<PathBuf> {
        env::split_paths(self.get("PATH")?)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|candidate| {
                rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok() && candidate.is_file()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Environment {
        let mut environment = Environment::default();
        environment.set(name, value);
        environment
    }

    fn texts(environment: &Environment) -> Vec<&str> {
        environment.checked_texts().unwrap().map(|text| text.to_str().unwrap()).collect()
    }

    #[test]
    fn a_program_is_found_by_the_path_it_will_have() {
        assert!(with("PATH", "/nowhere:/bin:/usr/bin").find_program("sh".as_ref()).is_some());
        assert_eq!(with("PATH", "/nowhere").find_program("sh".as_ref()), None);
        assert_eq!(Environment::default().find_program("sh".as_ref()), None);
        assert_eq!(with("PATH", "/").find_program("bin".as_ref()), None, "a directory is no program");
    }

    #[test]
    fn a_variable_is_set_once_and_the_last_value_counts() {
        let mut environment = with("A", "1");
        environment.set("AB", "2");
        environment.set("A", "3=4");
        assert_eq!(texts(&environment), ["AB=2", "A=3=4"]);
        let mut copy = environment.into_common();
        copy.set("AB", "5");
        copy.set_if_missing("A", "6");
        copy.set_if_missing("C", "7");
        assert_eq!(texts(&copy), ["A=3=4", "AB=5", "C=7"]);
        assert_eq!(copy.get("A"), Some(OsStr::new("3=4")));
    }

    #[test]
    fn what_no_process_can_be_given_is_an_error() {
        let mut environment = with("A", "1");
        environment.set("B", "2\0C=3");
        let error = environment.checked_texts().err().unwrap();
        assert_eq!(error.to_string(), "the variable B holds a zero byte");
        environment.set("B", "2");
        assert_eq!(texts(&environment), ["A=1", "B=2"]);
    }
}
