//! Which source file uses which, read from the code by `syn`: every path is followed through `use` and re-exports to the file
//! that defines what it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, UseTree};

/// A module's path from the crate's root, `["boot", "ledger"]` say. The root is empty.
type ModulePath = Vec<String>;

/// One module with a file of its own.
struct Module {
    file: PathBuf,
    /// Names of the modules that it declares.
    children: BTreeSet<String>,
    /// The path of each name that a `use` brings in, as written.
    imports: BTreeMap<String, Vec<String>>,
    /// Modules whose every name is brought in.
    globs: Vec<Vec<String>>,
    /// All paths of the code, as they are written.
    paths: BTreeSet<Vec<String>>,
}

/// The modules of a crate.
pub(super) struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads the crate whose root is `root`. Test modules are left out.
    pub(super) fn read(root: &Path) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add(Vec::new(), root);
        modules
    }

    /// The files of a crate that was never written to a disk: each with its module's path, such as `a::b`, and its text.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let path = |name: &str| name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let module = |name: &str, text: &str| {
            let file = syn::parse_str(text).expect("it is Rust");
            Module::new(PathBuf::from(name), &file)
        };
        Self(files.iter().map(|(name, text)| (path(name), module(name, text))).collect())
    }

    fn add(&mut self, path: ModulePath, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let module = Module::new(file.to_owned(), &parsed);
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "mod") | None => file.with_file_name(""),
            Some(_) => file.with_extension(""),
        };
        for child in module.children.clone() {
            let mut below = path.clone();
            below.push(child.clone());
            let (file, folder) = (folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs"));
            self.add(below, if file.exists() { &file } else { &folder });
        }
        self.0.insert(path, module);
    }

    /// Groups of files that use one another in a circle, each sorted.
    pub(super) fn circles(&self) -> Vec<Vec<PathBuf>> {
        let arrows: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
            self.0.keys().map(|path| (path, self.used_by(path))).collect();
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = arrows
            .keys()
            .map(|start| {
                let mut seen = BTreeSet::new();
                let mut next: Vec<&ModulePath> = arrows[*start].iter().collect();
                while let Some(path) = next.pop() {
                    if seen.insert(path) {
                        next.extend(arrows.get(path).into_iter().flatten());
                    }
                }
                (*start, seen)
            })
            .collect();
        let mut circles = BTreeSet::new();
        for (path, seen) in reached.iter().filter(|(path, seen)| seen.contains(*path)) {
            let circle = seen.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(path)));
            let mut files: Vec<PathBuf> = circle.map(|path| self.0[*path].file.clone()).collect();
            files.sort();
            circles.insert(files);
        }
        circles.into_iter().collect()
    }

    /// The other modules that define what this one names.
    fn used_by(&self, path: &ModulePath) -> BTreeSet<ModulePath> {
        let module = &self.0[path];
        let imported = module.imports.values().chain(&module.globs);
        let named = module.paths.iter().filter(|written| {
            let first = written[0].as_str();
            matches!(first, "crate" | "self" | "super") || module.children.contains(first)
        });
        let mut used: BTreeSet<_> =
            imported.chain(named).filter_map(|written| self.resolve(path, written, 0)).collect();
        used.remove(path);
        used
    }

    /// The module that defines what `written` names in the module `at`. `None` for other crates.
    fn resolve(&self, at: &ModulePath, written: &[String], depth: usize) -> Option<ModulePath> {
        // `use other_crate;` names itself.
        if depth > 16 {
            return None;
        }
        let (first, rest) = written.split_first()?;
        let mut here = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            _ => return self.member(at, first, rest, depth),
        };
        let mut rest = rest;
        while let Some(("super", more)) = rest.split_first().map(|(name, more)| (name.as_str(), more)) {
            here.pop()?;
            rest = more;
        }
        match rest.split_first() {
            Some((name, more)) => Some(self.member(&here, name, more, depth).unwrap_or(here)),
            None => Some(here),
        }
    }

    /// The module that defines the member `name` of the module `at`, and what follows below it.
    fn member(&self, at: &ModulePath, name: &String, rest: &[String], depth: usize) -> Option<ModulePath> {
        let module = self.0.get(at)?;
        if module.children.contains(name) {
            let mut below = at.clone();
            below.push(name.clone());
            let Some((name, more)) = rest.split_first() else { return Some(below) };
            return Some(self.member(&below, name, more, depth).unwrap_or(below));
        }
        if let Some(target) = module.imports.get(name) {
            let whole: Vec<String> = target.iter().chain(rest).cloned().collect();
            return self.resolve(at, &whole, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let target = self.resolve(at, glob, depth + 1)?;
            (target != *at).then(|| self.member(&target, name, rest, depth + 1)).flatten()
        })
    }
}

impl Module {
    fn new(file: PathBuf, parsed: &File) -> Self {
        let mut module = Self {
            file,
            children: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            paths: BTreeSet::new(),
        };
        for item in &parsed.items {
            if let Item::Mod(ItemMod { content: None, ident, attrs, .. }) = item
                && !is_test(attrs)
            {
                module.children.insert(ident.to_string());
            }
        }
        module.visit_file(parsed);
        module
    }

    fn import(&mut self, mut before: Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(before, &path.tree);
            }
            UseTree::Name(name) if name.ident == "self" => {
                let Some(last) = before.last().cloned() else { return };
                self.imports.insert(last, before);
            }
            UseTree::Name(name) => {
                before.push(name.ident.to_string());
                self.imports.insert(name.ident.to_string(), before);
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                // `as _` brings in a trait that no path names: kept under a name that no code can have.
                let name =
                    if rename.rename == "_" { format!("_ {}", before.join("::")) } else { rename.rename.to_string() };
                self.imports.insert(name, before);
            }
            UseTree::Glob(_) => self.globs.push(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before.clone(), tree)),
        }
    }
}

impl Visit<'_> for Module {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if is_test(attributes) {
            return;
        }
        match item {
            Item::Use(item) => self.import(Vec::new(), &item.tree),
            other => visit::visit_item(self, other),
        }
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.segments.len() > 1 {
            self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &syn::Visibility) {
        // `pub(in crate::x)` and `pub(super)` use nothing.
    }
}

/// Whether the attributes say `#[cfg(test)]` or `#[test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}
