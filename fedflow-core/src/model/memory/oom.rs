//! `OomSigns`: what shows that a process which failed was out of memory, though it did not say so.

use std::sync::Arc;

use crate::model::outcome::failure::Stage;

/// What GPU frameworks print when a card has not enough memory.
const CARD_WORDS: [&str; 9] = [
    // PyTorch, older and newer versions.
    "CUDA out of memory",
    "torch.OutOfMemoryError",
    "torch.cuda.OutOfMemoryError",
    // CUDA and its libraries.
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    // TensorFlow and JAX.
    "RESOURCE_EXHAUSTED: Out of memory",
];

/// What programs print when the host has not enough memory.
const HOST_WORDS: [&str; 3] = ["std::bad_alloc", "MemoryError", "Cannot allocate memory"];

/// Signs that a process was out of memory: words that it printed, or its exit code.
///
/// The words are plain text, not regular expressions: frameworks print fixed phrases, plain text needs no second level
/// of quotes in a flow file, and the output of a task is searched in linear time.
///
/// ```
/// use fedflow_core::{OomSigns, Stage};
///
/// let signs = OomSigns::default();
/// let printed = [("stderr", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.")];
/// assert!(signs.found(Stage::Train, Some(1), &printed).is_some());
/// assert!(signs.found(Stage::Train, Some(1), &[("stderr", "no such file")]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomSigns {
    /// Words that mean a card's memory. They count when `train` fails.
    pub train_words: Vec<String>,
    /// Words that mean the host's memory. They count when `load` fails.
    pub load_words: Vec<String>,
    /// Exit codes that mean the memory of either. They count in both phases.
    pub exit_codes: Vec<u32>,
}

/// The signs that a task or a group adds to those of the configuration. They count in both phases.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ExtraOomSigns {
    /// Words on stderr or stdout.
    pub words: Vec<String>,
    /// Exit codes.
    pub exit_codes: Vec<u32>,
}

impl ExtraOomSigns {
    /// These signs and more.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.words.extend_from_slice(&more.words);
        self.exit_codes.extend_from_slice(&more.exit_codes);
        self
    }
}

impl Default for OomSigns {
    fn default() -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self { train_words: owned(&CARD_WORDS), load_words: owned(&HOST_WORDS), exit_codes: Vec::new() }
    }
}

impl OomSigns {
    /// The sign, in words, that a process which failed in a stage was out of memory; `None` if there is none. `code` is
    /// the exit code; `None` if the process did not exit. `printed` is what it printed last, each text with the name of
    /// its stream.
    #[must_use]
    pub fn found(&self, stage: Stage, code: Option<u32>, printed: &[(&str, &str)]) -> Option<String> {
        let words = match stage {
            Stage::Load => &self.load_words,
            Stage::Train => &self.train_words,
            Stage::Start | Stage::Wait => return None,
        };
        if let Some(code) = code.filter(|code| self.exit_codes.contains(code)) {
            return Some(format!("exit code {code}"));
        }
        printed.iter().find_map(|(stream, text)| {
            // An empty text would be found in any output.
            let found = words.iter().find(|word| !word.is_empty() && text.contains(word.as_str()))?;
            Some(format!("{found:?} on {stream}"))
        })
    }

    /// These signs and those that a task adds.
    #[must_use]
    pub fn with(self: &Arc<Self>, extra: &ExtraOomSigns) -> Arc<Self> {
        if *extra == ExtraOomSigns::default() {
            return Arc::clone(self);
        }
        let mut signs = Self::clone(self);
        signs.train_words.extend_from_slice(&extra.words);
        signs.load_words.extend_from_slice(&extra.words);
        signs.exit_codes.extend_from_slice(&extra.exit_codes);
        Arc::new(signs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(signs: &OomSigns, stage: Stage, code: Option<u32>, stderr: &str) -> Option<String> {
        signs.found(stage, code, &[("stderr", stderr), ("stdout", "")])
    }

    #[test]
    fn each_phase_has_its_own_words() {
        let signs = OomSigns::default();
        for word in CARD_WORDS {
            let stderr = format!("Traceback\n  {word}. Tried to allocate\n");
            assert!(found(&signs, Stage::Train, Some(1), &stderr).is_some(), "{word}");
        }
        for word in HOST_WORDS {
            assert!(found(&signs, Stage::Load, Some(1), word).is_some(), "{word}");
        }
        assert_eq!(
            found(&signs, Stage::Load, None, "terminate called after throwing 'std::bad_alloc'"),
            Some("\"std::bad_alloc\" on stderr".into())
        );
        let said = signs.found(Stage::Train, Some(1), &[("stderr", ""), ("stdout", "CUDA out of memory.")]);
        assert_eq!(said, Some("\"CUDA out of memory\" on stdout".into()));
        // More memory on a card does not help if the host is full, and the reverse.
        assert_eq!(found(&signs, Stage::Train, Some(1), "MemoryError"), None);
        assert_eq!(found(&signs, Stage::Load, Some(1), "CUDA out of memory"), None);
        assert_eq!(found(&signs, Stage::Wait, Some(1), "CUDA out of memory"), None);
    }

    #[test]
    fn a_task_adds_its_own() {
        let common = Arc::new(OomSigns::default());
        let extra = ExtraOomSigns { words: vec!["no room".into(), String::new()], exit_codes: vec![77] };
        let signs = common.with(&extra);
        for stage in [Stage::Load, Stage::Train] {
            assert_eq!(found(&signs, stage, Some(77), ""), Some("exit code 77".into()));
            assert_eq!(
                found(&signs, stage, Some(1), "there is no room"),
                Some("\"no room\" on stderr".into())
            );
            assert_eq!(found(&signs, stage, Some(1), "all is well"), None, "empty words mean nothing");
        }
        assert!(found(&signs, Stage::Train, Some(1), "CUDA out of memory").is_some(), "the others stay");
        assert!(Arc::ptr_eq(&common.with(&ExtraOomSigns::default()), &common));
    }
}
