//! Which file of a crate uses which: resolves the paths that files name to the modules that define what is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::{Import, NamedPath, Source};

/// How many imports a name may lead through; a cycle of imports ends there.
const LONGEST_IMPORT_CHAIN: usize = 8;

/// Words in front of the name that an item defines.
const DEFINING: &[&str] =
    &["struct", "enum", "union", "trait", "fn", "type", "const", "static", "macro_rules"];

/// The modules of one crate, without those for tests, and the edges between them.
#[derive(Debug, Default)]
pub(super) struct ModuleGraph<'a> {
    pub(super) modules: Vec<Module<'a>>,
    /// For each module the modules that it uses, each with the first line that does.
    pub(super) edges: Vec<BTreeMap<usize, usize>>,
    by_path: BTreeMap<Vec<String>, usize>,
}

/// A module that is a file.
#[derive(Debug)]
pub(super) struct Module<'a> {
    /// The names from the crate's root to it.
    pub(super) path: Vec<String>,
    pub(super) source: &'a Source,
    /// What each imported name stands for; none for what comes from another crate.
    imports: BTreeMap<String, Option<Vec<String>>>,
    globs: Vec<Vec<String>>,
    defined: BTreeSet<&'a str>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    ItemOf(usize),
}

impl<'a> ModuleGraph<'a> {
    /// Builds the graph of the crate in a directory.
    pub(super) fn build(krate: &Path, sources: &'a [Source]) -> Self {
        let mut files: BTreeMap<Vec<String>, &Source> = BTreeMap::new();
        let mut test_modules: Vec<Vec<String>> = Vec::new();
        for source in sources {
            let Some(path) = source.module_path(krate) else { continue };
            test_modules.extend(source.test_modules().map(|name| join(&path, [name.to_owned()])));
            // Beside a library, the program's root is another crate; `lib` comes before `main`.
            if !source.is_for_tests() {
                files.entry(path).or_insert(source);
            }
        }
        files.retain(|path, _| !test_modules.iter().any(|tests| path.starts_with(tests)));

        let mut graph = Self::default();
        for (number, (path, source)) in files.into_iter().enumerate() {
            graph.by_path.insert(path.clone(), number);
            graph.modules.push(Module::new(path, source));
        }
        graph.read_imports();
        graph.edges = (0..graph.modules.len()).map(|module| graph.edges_of(module)).collect();
        graph.add_inherent_impls();
        graph
    }

    fn read_imports(&mut self) {
        for number in 0..self.modules.len() {
            let paths = self.modules[number].source.paths();
            // A child module or an earlier import may be named without `self::`, so all are read before any is used.
            for path in paths.iter().filter(|path| !path.in_tests && path.depth == 0) {
                let Some(import) = &path.import else { continue };
                let absolute = self.absolute(number, path);
                let module = &mut self.modules[number];
                match &import.name {
                    Some(name) => {
                        module.imports.insert(name.clone(), absolute);
                    }
                    None => module.globs.extend(absolute),
                }
            }
        }
    }

    /// A path from the crate's root; none if it leads elsewhere.
    fn absolute(&self, module: usize, path: &NamedPath) -> Option<Vec<String>> {
        let own = &self.modules[module].path;
        let ups = path.parts.iter().take_while(|part| *part == "super").count();
        match path.parts.first()?.as_str() {
            "crate" => Some(path.parts[1..].to_vec()),
            "self" if path.depth == 0 => Some(join(own, path.parts[1..].iter().cloned())),
            "super" => {
                let level = (own.len() + path.depth).checked_sub(ups)?;
                (level <= own.len()).then(|| join(&own[..level], path.parts[ups..].iter().cloned()))
            }
            first if path.depth == 0 => {
                let is_known = self.by_path.contains_key(&join(own, [first.to_owned()]))
                    || self.modules[module].imports.contains_key(first);
                is_known.then(|| join(own, path.parts.iter().cloned()))
            }
            _ => None,
        }
    }

    /// Finds the module that defines what a path from the root names.
    fn resolve(&self, path: &[String], chain: usize) -> Option<Target> {
        let chain = chain.checked_sub(1)?;
        let mut known = 0;
        while known < path.len() && self.by_path.contains_key(&path[..=known]) {
            known += 1;
        }
        let current = *self.by_path.get(&path[..known])?;
        let Some(name) = path.get(known) else { return Some(Target::Module(current)) };
        let module = &self.modules[current];
        if let Some(import) = module.imports.get(name) {
            let rest = path[known + 1..].iter().cloned();
            return self.resolve(&join(import.as_ref()?, rest), chain);
        }
        if !module.defined.contains(&name[..]) {
            for glob in &module.globs {
                let through = join(glob, path[known..].iter().cloned());
                let shown = |number: usize| {
                    let module = &self.modules[number];
                    module.defined.contains(&name[..]) || module.imports.contains_key(name)
                };
                if let Some(Target::Module(number)) = self.resolve(glob, chain)
                    && number != current
                    && shown(number)
                {
                    return self.resolve(&through, chain);
                }
            }
        }
        Some(Target::ItemOf(current))
    }

    fn edges_of(&self, number: usize) -> BTreeMap<usize, usize> {
        let module = &self.modules[number];
        let paths = module.source.paths();
        let mut edges = BTreeMap::new();
        for path in paths.iter().filter(|path| !path.in_tests) {
            if path.import.is_none() && path.parts.len() < 2 {
                continue;
            }
            let target = self.absolute(number, path).and_then(|it| self.resolve(&it, LONGEST_IMPORT_CHAIN));
            let used = match (target, &path.import) {
                // A module is imported for what is in it, which is named elsewhere in the file; and `pub(in ..)` names one.
                (Some(Target::Module(used)), Some(Import { name: None, .. })) => used,
                (Some(Target::ItemOf(used)), _) => used,
                (Some(Target::Module(_)), _) => continue,
                (None, _) => continue,
            };
            let shows_only = path.import.as_ref().is_some_and(|import| {
                import.is_public
                    && self.modules[used].path.starts_with(&module.path)
                    && !import.name.as_ref().is_some_and(|name| module.names_twice(name))
            });
            if used != number && !shows_only && !self.is_unknown_item_of_root(used, path) {
                edges.entry(used).or_insert(path.line);
            }
        }
        edges
    }

    /// A macro or a name that a macro defines seems to be the root's own.
    fn is_unknown_item_of_root(&self, used: usize, path: &NamedPath) -> bool {
        let module = &self.modules[used];
        module.path.is_empty() && !path.parts.iter().any(|part| module.defined.contains(&part[..]))
    }

    /// Methods in another file than their type's belong to the type: its module uses that file.
    fn add_inherent_impls(&mut self) {
        let mut found = Vec::new();
        for (number, module) in self.modules.iter().enumerate() {
            for (name, line) in module.inherent_impls() {
                let path = join(&module.path, [name.to_owned()]);
                if let Some(Target::ItemOf(of)) = self.resolve(&path, LONGEST_IMPORT_CHAIN)
                    && of != number
                {
                    found.push((of, number, line));
                }
            }
        }
        for (of, number, line) in found {
            self.edges[of].entry(number).or_insert(line);
        }
    }
}

impl<'a> Module<'a> {
    fn new(path: Vec<String>, source: &'a Source) -> Self {
        let definitions = source.tokens.windows(3).filter(|it| DEFINING.contains(&&it[0].text[..]));
        let defined =
            definitions.map(|it| if it[1].text == "!" { &it[2].text[..] } else { &it[1].text[..] }).collect();
        Self { path, source, imports: BTreeMap::new(), globs: Vec::new(), defined }
    }

    /// The name as a reader writes it.
    pub(super) fn name(&self) -> String {
        if self.path.is_empty() { "lib".into() } else { self.path.join("::") }
    }

    fn names_twice(&self, name: &str) -> bool {
        let tokens = self.source.tokens.iter().filter(|token| !token.in_tests && token.text == name);
        tokens.count() > 1
    }

    /// The types whose methods stand here, with the line of each `impl`.
    fn inherent_impls(&self) -> impl Iterator<Item = (&str, usize)> {
        let tokens = &self.source.tokens;
        let impls = (0..tokens.len()).filter(|place| {
            let is_item = place
                .checked_sub(1)
                .is_none_or(|before| matches!(&tokens[before].text[..], "}" | ";" | "]" | "{"));
            tokens[*place].text == "impl" && is_item && !tokens[*place].in_tests
        });
        impls.filter_map(|place| {
            let head: Vec<_> = tokens[place + 1..].iter().take_while(|token| token.text != "{").collect();
            if head.iter().any(|token| token.text == "for") {
                return None;
            }
            let mut depth = 0_usize;
            let name = head.iter().find(|token| {
                match &token.text[..] {
                    "<" => depth += 1,
                    ">" => depth = depth.saturating_sub(1),
                    _ => return depth == 0 && token.is_word(),
                }
                false
            })?;
            Some((&name.text[..], name.line))
        })
    }
}

fn join(path: &[String], rest: impl IntoIterator<Item = String>) -> Vec<String> {
    path.iter().cloned().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges of a crate `k` of these files, as `a > b`.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::new(format!("k/src/{path}").into(), (*text).into()))
            .collect();
        let graph = ModuleGraph::build(Path::new("k"), &sources);
        let mut found = Vec::new();
        for (number, edges) in graph.edges.iter().enumerate() {
            let name = |module: usize| graph.modules[module].name();
            found.extend(edges.keys().map(|used| format!("{} > {}", name(number), name(*used))));
        }
        found
    }

    #[test]
    fn every_kind_of_path_is_an_edge() {
        let defined = ("b.rs", "pub struct B;");
        for text in [
            "use crate::b::B;",
            "use super::b::B;",
            "use crate::{b::{B}};",
            "use crate::b; fn f() { b::g() }",
            "use super::b as c; fn f() { c::g() }",
            "fn f() { crate::b::g() }",
            "use crate::b::*;",
            "mod inner { use super::super::b::B; }",
        ] {
            assert_eq!(edges(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), defined]), ["a > b"], "{text}");
        }
    }

    #[test]
    fn tests_comments_and_other_crates_are_no_edges() {
        for text in [
            "// crate::b::B",
            "#[cfg(test)] use crate::b::B;",
            "#[cfg(test)] mod tests { use crate::b::B; }",
            "use std::b::B; fn f() { B::new() }",
            "use crate::b;",
            "use crate::some_macro;",
            "pub(in crate::b) fn f() {}",
        ] {
            let files = [("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "pub struct B;")];
            assert_eq!(edges(&files), [""; 0], "{text}");
        }
        let files =
            [("lib.rs", "#[cfg(test)] mod world; mod b;"), ("world.rs", "use crate::b::B;"), ("b.rs", "")];
        assert_eq!(edges(&files), [""; 0]);
    }

    #[test]
    fn what_is_shown_again_belongs_to_where_it_is_defined() {
        let root = ("lib.rs", "pub mod a; pub mod b; pub use b::B;");
        let room = ("b.rs", "mod c; pub use self::c::B; pub use self::d::*; mod d;");
        let inner = [("b/c.rs", "pub struct B;"), ("b/d.rs", "pub enum D {}")];
        let of = |text| edges(&[root, ("a.rs", text), room, inner[0], inner[1]]);
        assert_eq!(of("use crate::B;"), ["a > b::c"]);
        assert_eq!(of("use crate::b::B;"), ["a > b::c"]);
        assert_eq!(of("use crate::b::D;"), ["a > b::d"]);
        assert_eq!(of("fn f() { crate::b::D::new() }"), ["a > b::d"]);
    }

    #[test]
    fn a_parent_uses_what_it_names_and_not_what_it_only_shows() {
        let child = ("a/b.rs", "pub struct B;");
        assert_eq!(edges(&[("a.rs", "mod b; pub use b::B;"), child]), [""; 0]);
        assert_eq!(edges(&[("a.rs", "mod b; pub use b::B; fn f(b: B) {}"), child]), ["a > a::b"]);
        assert_eq!(edges(&[("a.rs", "mod b; use b::B;"), child]), ["a > a::b"]);
        assert_eq!(edges(&[("a.rs", "mod b; fn f() { b::g() }"), child]), ["a > a::b"]);
    }

    #[test]
    fn methods_elsewhere_belong_to_their_type() {
        let files = [("a.rs", "mod b; pub struct A;"), ("a/b.rs", "use super::A; impl<T: X> A<T> {}")];
        assert_eq!(edges(&files), ["a > a::b", "a::b > a"]);
        let files = [("a.rs", "mod b; pub struct A;"), ("a/b.rs", "use super::A; impl From<B> for A {}")];
        assert_eq!(edges(&files), ["a::b > a"]);
    }

    #[test]
    fn imports_in_a_circle_end() {
        assert_eq!(edges(&[("a.rs", "pub use crate::b::X;"), ("b.rs", "pub use crate::a::X;")]), [""; 0]);
    }
}
