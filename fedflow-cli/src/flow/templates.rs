//! Templates in the texts of a flow file: how they are compiled and rendered, and what they see.

mod calls;
mod matrix_values;
mod scope;
mod template;
mod template_value;
mod tokens;
mod unknown_names;

pub(super) use calls::{Answer, Answers, Call, Function};
pub(super) use matrix_values::{AxisValues, MatrixValues, Number, Range};
pub(super) use scope::{FLOW_DIR, FlowScope, GroupScope, INDEX, RESERVED, ROUND, ROUNDS, Scope};
pub(super) use template::{Template, TemplateSet, builtin_names};
pub(super) use template_value::{TemplateCause, TemplateError, to_core, to_template};
