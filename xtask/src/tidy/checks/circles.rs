//! Files of one crate that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::manifest::Workspace;
use crate::tidy::finding::Finding;
use crate::tidy::module_graph::ModuleGraph;
use crate::tidy::rules::Rule;
use crate::tidy::source::Source;

/// For each module the modules that it uses.
type Edges = Vec<BTreeSet<usize>>;

/// Checks every crate.
pub(in crate::tidy) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Finding> {
    let crates = workspace.members.iter().filter_map(|member| member.path.parent());
    crates.flat_map(|krate| check_graph(&ModuleGraph::build(krate, sources))).collect()
}

fn check_graph(graph: &ModuleGraph<'_>) -> Vec<Finding> {
    let all: Edges = graph.edges.iter().map(|used| used.keys().copied().collect()).collect();
    let is_up = |from: usize, to: usize| graph.modules[from].path.starts_with(&graph.modules[to].path);
    let mut downward = all.clone();
    for (from, used) in downward.iter_mut().enumerate() {
        used.retain(|to| !is_up(from, *to));
    }
    let mut findings = check_components(graph, &downward);
    findings.extend(check_parents(graph, &all, &downward));
    findings
}

/// One finding for each set of modules that reach each other without a step from a child up to its parent.
fn check_components(graph: &ModuleGraph<'_>, edges: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in components(edges) {
        let circles = component.iter().filter_map(|start| shortest_path(edges, *start, *start));
        let Some(circle) = circles.min_by_key(Vec::len) else { continue };
        let mut message = shown(graph, &circle);
        if component.len() >= circle.len() {
            let names: Vec<_> = component.iter().map(|module| graph.modules[*module].name()).collect();
            message += &format!("; {} files reach each other: {}", names.len(), names.join(", "));
        }
        let line = graph.edges[circle[0]][&circle[1]];
        findings.push(Finding::new(Rule::Circles, path_of(graph, circle[0]), line, message));
    }
    findings
}

/// One finding for each child that uses a parent which uses the child, directly or through others.
fn check_parents(graph: &ModuleGraph<'_>, all: &Edges, downward: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (child, used) in all.iter().enumerate() {
        for parent in used.difference(&downward[child]) {
            let Some(back) = shortest_path(all, *parent, child) else { continue };
            let circle: Vec<usize> = [child].into_iter().chain(back).collect();
            let line = graph.edges[child][parent];
            findings.push(Finding::new(Rule::Parents, path_of(graph, child), line, shown(graph, &circle)));
        }
    }
    findings
}

fn path_of<'a>(graph: &ModuleGraph<'a>, module: usize) -> &'a std::path::Path {
    &graph.modules[module].source.path
}

/// `a -> b -> a`, with the line of each step.
fn shown(graph: &ModuleGraph<'_>, path: &[usize]) -> String {
    let mut text = graph.modules[path[0]].name();
    for step in path.windows(2) {
        let line = graph.edges[step[0]].get(&step[1]).copied().unwrap_or_default();
        text += &format!(":{line} -> {}", graph.modules[step[1]].name());
    }
    text
}

/// The shortest way of at least one step, both ends included.
fn shortest_path(edges: &Edges, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(module) = queue.pop_front() {
        for next in &edges[module] {
            if came_from.contains_key(next) {
                continue;
            }
            came_from.insert(*next, module);
            if *next != to {
                queue.push_back(*next);
                continue;
            }
            let mut path = vec![to];
            let mut place = to;
            loop {
                place = came_from[&place];
                path.push(place);
                if place == from {
                    path.reverse();
                    return Some(path);
                }
            }
        }
    }
    None
}

/// The sets of two and more modules that reach each other.
fn components(edges: &Edges) -> Vec<Vec<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..edges.len()).map(|start| reachable(edges, start)).collect();
    let mut components = Vec::new();
    let mut done = BTreeSet::new();
    for module in 0..edges.len() {
        if !done.contains(&module) && reached[module].contains(&module) {
            let members: Vec<usize> =
                reached[module].iter().copied().filter(|other| reached[*other].contains(&module)).collect();
            done.extend(members.iter().copied());
            components.push(members);
        }
    }
    components
}

fn reachable(edges: &Edges, start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        open.extend(edges[module].iter().filter(|next| reached.insert(**next)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(Rule, String)> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::new(format!("k/src/{path}").into(), (*text).into()))
            .collect();
        let findings = check_graph(&ModuleGraph::build(Path::new("k"), &sources));
        findings.into_iter().map(|it| (it.rule, it.message)).collect()
    }

    #[test]
    fn a_circle_is_reported_once_by_its_shortest_path() {
        let found = found(&[
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "\nuse crate::c::C;"),
            ("c.rs", "use crate::a::A;\nuse crate::b::B;"),
            ("d.rs", "use crate::a::A;"),
        ]);
        let expected = "b:2 -> c:2 -> b; 3 files reach each other: a, b, c";
        assert_eq!(found, [(Rule::Circles, expected.into())]);
    }

    #[test]
    fn a_crate_without_circles_passes() {
        assert_eq!(found(&[("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")]), []);
        // A child may know its parent if the parent does without the child.
        assert_eq!(found(&[("a.rs", "mod b; struct A;"), ("a/b.rs", "use super::A;")]), []);
    }

    #[test]
    fn a_parent_and_its_child_are_a_class_of_their_own() {
        let direct = found(&[("a.rs", "mod b; struct A; use b::B;"), ("a/b.rs", "use super::A;")]);
        assert_eq!(direct, [(Rule::Parents, "a::b:1 -> a:1 -> a::b".into())]);
        let through = found(&[
            ("a.rs", "mod b; struct A; use crate::c::C;"),
            ("a/b.rs", "use super::A;"),
            ("c.rs", "use crate::a::b::B;"),
        ]);
        assert_eq!(through, [(Rule::Parents, "a::b:1 -> a:1 -> c:1 -> a::b".into())]);
    }
}
