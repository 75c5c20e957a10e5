//! `TermsMaker`: what the tasks of a table share, rendered; their programs are shared as far as they are equal.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::{ExpectedTimes, Needs, Program};

use super::super::document::{CommandTable, ProgramTable, TaskTable};
use super::super::task::FlowTaskTerms;
use super::super::templates::{MatrixValues, Scope};
use super::super::values::{Mistake, value_of};

/// Makes the terms of tasks.
#[derive(Debug)]
pub(super) struct TermsMaker {
    /// The directory of the flow file.
    base_dir: PathBuf,
    /// Worker programs by worker and kind, so that tasks share them.
    by_worker: HashMap<(String, String), Arc<Program>>,
}

impl TermsMaker {
    pub(super) fn new(base_dir: PathBuf) -> Self {
        Self { base_dir, by_worker: HashMap::new() }
    }

    /// What the tasks of a table share, or what one of them has for itself.
    pub(super) fn terms(
        &mut self,
        table: &Arc<TaskTable>,
        matrix: &Arc<MatrixValues>,
        scope: &Scope,
    ) -> Result<FlowTaskTerms, Mistake> {
        let load = value_of(table.expected_load.as_ref(), scope)?;
        let train = value_of(table.expected_train.as_ref(), scope)?;
        let expected = (load.is_some() || train.is_some())
            .then(|| ExpectedTimes { load: load.unwrap_or_default(), train: train.unwrap_or_default() });
        Ok(FlowTaskTerms {
            program: self.program(&table.program, scope)?,
            needs: Needs {
                devices: value_of(table.devices.as_ref(), scope)?.map_or(1, NonZeroU32::get),
                exclusive: value_of(table.exclusive.as_ref(), scope)?.unwrap_or(false),
                memory: value_of(table.keys.estimate_memory.as_ref(), scope)?,
                cuda_memory: value_of(table.keys.estimate_cuda_memory.as_ref(), scope)?,
            },
            device: value_of(table.keys.device.as_ref(), scope)?,
            cwd: value_of(table.cwd.as_ref(), scope)?.map(|cwd| self.base_dir.join(cwd)),
            limits: table.keys.limits.get(scope)?,
            expected,
            table: Arc::clone(table),
            matrix: Arc::clone(matrix),
        })
    }

    /// The program; `None` for a command with templates.
    fn program(&mut self, table: &ProgramTable, scope: &Scope) -> Result<Option<Arc<Program>>, Mistake> {
        Ok(match table {
            ProgramTable::Worker { worker, kind } => {
                let key = (worker.get(scope)?, kind.get(scope)?);
                let program = self.by_worker.entry(key).or_insert_with_key(|(worker, kind)| {
                    Arc::new(Program::Worker { worker: worker.clone(), kind: kind.clone() })
                });
                Some(Arc::clone(program))
            }
            ProgramTable::Command { load, train } => {
                if !(train.is_fixed() && load.as_ref().is_none_or(CommandTable::is_fixed)) {
                    return Ok(None);
                }
                let base_dir = &self.base_dir;
                let load = load.as_ref().map(|load| load.render(base_dir, scope)).transpose()?;
                Some(Arc::new(Program::Command { load, train: train.render(base_dir, scope)? }))
            }
        })
    }
}
