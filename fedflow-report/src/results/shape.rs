//! `Shape`: which values the results of many tasks have, nested ones included, in a limited number.

use fedflow_core::{Dict, Value};
use indexmap::IndexMap;

/// The most columns for results.
const MAX_VALUES: usize = 1_000;
/// The most items of a list that have columns.
const MAX_ITEMS: usize = 100;
/// The most dictionaries and lists that are looked into: between them there may be no value.
const MAX_INNER: usize = 10_000;

/// Where a value stands in a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(Box<str>),
    Item(usize),
}

/// Which values results have: null, booleans, numbers and texts, at any depth.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    top: Node,
    values: usize,
    inner: usize,
    /// Whether there are values for which there was no column left.
    pub(crate) is_cut: bool,
    /// Whether there are lists with more items than have columns.
    pub(crate) has_long_lists: bool,
}

#[derive(Debug, Default)]
struct Node {
    is_value: bool,
    keys: IndexMap<Box<str>, Self>,
    items: Vec<Self>,
}

impl Shape {
    /// Takes a result.
    pub(crate) fn add(&mut self, result: &Dict) {
        let mut top = std::mem::take(&mut self.top);
        self.add_dict(&mut top, result);
        self.top = top;
    }

    fn add_dict(&mut self, node: &mut Node, dict: &Dict) {
        for (key, value) in dict.iter() {
            if let Some(known) = node.keys.get_mut(key) {
                self.add_value(known, value);
            } else if let Some(new) = self.new_node(value) {
                node.keys.insert(key.into(), new);
            }
        }
    }

    fn add_value(&mut self, node: &mut Node, value: &Value) {
        match value {
            Value::Dict(dict) => self.add_dict(node, dict),
            Value::List(list) => {
                self.has_long_lists |= list.len() > MAX_ITEMS;
                for (place, value) in list.iter().take(MAX_ITEMS).enumerate() {
                    if let Some(known) = node.items.get_mut(place) {
                        self.add_value(known, value);
                    } else {
                        // Without a node its place is kept, for the items after it.
                        let new = self.new_node(value).unwrap_or_default();
                        node.items.push(new);
                    }
                }
            }
            Value::Bytes(_) => {}
            _ if node.is_value => {}
            _ if self.values < MAX_VALUES => {
                self.values += 1;
                node.is_value = true;
            }
            _ => self.is_cut = true,
        }
    }

    /// A node for a value that had none; `None` if it has no columns.
    fn new_node(&mut self, value: &Value) -> Option<Node> {
        if matches!(value, Value::Bytes(_)) {
            return None;
        }
        if self.values >= MAX_VALUES || self.inner >= MAX_INNER {
            self.is_cut = true;
            return None;
        }
        self.inner += usize::from(matches!(value, Value::List(_) | Value::Dict(_)));
        let mut node = Node::default();
        self.add_value(&mut node, value);
        Some(node)
    }

    /// The values: each with its name, such as `loss.0` or `per_class.cat`, and where it stands. Those of one list or
    /// dictionary are side by side, else they come in the order in which they appeared.
    pub(crate) fn values(&self) -> Vec<(String, Vec<Step>)> {
        let mut values = Vec::new();
        self.top.visit(&mut String::new(), &mut Vec::new(), &mut values);
        values
    }
}

impl Node {
    fn visit(&self, name: &mut String, path: &mut Vec<Step>, found: &mut Vec<(String, Vec<Step>)>) {
        if self.is_value {
            found.push((name.clone(), path.clone()));
        }
        let keys = self.keys.iter().map(|(key, node)| (Step::Key(key.clone()), node));
        let items = self.items.iter().enumerate().map(|(place, node)| (Step::Item(place), node));
        for (step, node) in keys.chain(items) {
            let length = name.len();
            if !path.is_empty() {
                name.push('.');
            }
            match &step {
                Step::Key(key) => name.push_str(key),
                Step::Item(place) => name.push_str(&place.to_string()),
            }
            path.push(step);
            node.visit(name, path, found);
            path.pop();
            name.truncate(length);
        }
    }
}

/// The value at a place of a result; `None` if there is none, or it is no single value.
pub(crate) fn value_at<'a>(result: &'a Dict, path: &[Step]) -> Option<&'a Value> {
    let (Step::Key(first), rest) = path.split_first()? else { return None };
    let mut value = result.get(first)?;
    for step in rest {
        value = match (step, value) {
            (Step::Key(key), Value::Dict(dict)) => dict.get(key)?,
            (Step::Item(place), Value::List(list)) => list.get(*place)?,
            _ => return None,
        };
    }
    (!matches!(value, Value::Dict(_) | Value::List(_) | Value::Bytes(_))).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(shape: &Shape) -> Vec<String> {
        shape.values().into_iter().map(|(name, _)| name).collect()
    }

    fn numbers(count: usize) -> Value {
        Value::List((0..count).map(|_| Value::from(0.5)).collect())
    }

    #[test]
    fn siblings_are_side_by_side_whichever_task_had_them_first() {
        let mut shape = Shape::default();
        shape.add(&Dict::from([("loss", numbers(1)), ("accuracy", Value::from(0.9))]));
        let per_class = Dict::from([("cat", Value::from(1)), ("weights", Value::from(vec![0_u8]))]);
        shape.add(&Dict::from([("loss", numbers(3)), ("per_class", Value::from(per_class))]));
        shape.add(&Dict::from([("loss", Value::Null)]));
        assert_eq!(names(&shape), ["loss", "loss.0", "loss.1", "loss.2", "accuracy", "per_class.cat"]);
        assert!(!shape.is_cut && !shape.has_long_lists);
    }

    #[test]
    fn long_lists_and_many_keys_are_cut() {
        let mut shape = Shape::default();
        shape.add(&Dict::from([("loss", numbers(100_000))]));
        assert_eq!(names(&shape).len(), MAX_ITEMS);
        assert!(shape.has_long_lists && !shape.is_cut);
        for task in 0..50 {
            shape.add(&(0..1_000).map(|key| (format!("k{task}-{key}"), 1)).collect());
        }
        assert_eq!(names(&shape).len(), MAX_VALUES);
        assert!(shape.is_cut);
        let mut shape = Shape::default();
        shape.add(&(0..100_000).map(|key| (key.to_string(), Value::List(Vec::new()))).collect());
        assert!(shape.top.keys.len() <= MAX_INNER, "empty lists take no memory without end");
    }

    /// A value as a worker could send it.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            "[a-z.]{0,3}".prop_map(Value::Text),
            Just(Value::Bytes(vec![1])),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|pairs| Value::Dict(pairs.into_iter().collect())),
            ]
        })
    }

    /// How many single values a value has.
    fn singles(value: &Value) -> usize {
        match value {
            Value::Dict(dict) => dict.iter().map(|(_, value)| singles(value)).sum(),
            Value::List(list) => list.iter().map(singles).sum(),
            Value::Bytes(_) => 0,
            _ => 1,
        }
    }

    proptest! {
        #[test]
        fn every_single_value_has_a_place(pairs in prop::collection::vec(("[a-c]", any_value()), 0..4)) {
            let result: Dict = pairs.into_iter().collect();
            let mut shape = Shape::default();
            shape.add(&result);
            let found = shape.values();
            prop_assert_eq!(found.len(), singles(&Value::from(result.clone())));
            prop_assert!(found.iter().all(|(_, path)| value_at(&result, path).is_some()));
        }
    }
}
