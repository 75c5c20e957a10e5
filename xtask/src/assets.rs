//! `cargo xtask assets`: builds the chart library that a report embeds, and copies its licences.
//!
//! The built file is in the repository, so that cargo needs no node. Run this after a change of `charts.js` or of a
//! version in `package.json`.

use std::fs;
use std::path::Path;

use crate::step::{Failure, Step};

/// Where the sources and the built file are.
const ASSETS: &str = "fedflow-report/assets";
/// Where node's packages are installed: cargo's own directory is ignored already.
const BUILD: &str = "target/assets";
/// What npm and esbuild read.
const SOURCES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "charts.js"];
/// What must go with the built file, and under which name.
const LICENCES: [(&str, &str); 5] = [
    ("echarts/LICENSE", "echarts-LICENSE"),
    ("echarts/NOTICE", "echarts-NOTICE"),
    ("echarts/licenses/LICENSE-d3", "d3-LICENSE"),
    ("zrender/LICENSE", "zrender-LICENSE"),
    ("tslib/LICENSE.txt", "tslib-LICENSE"),
];
/// esbuild writes ASCII alone unless it is told otherwise.
const BUNDLE: [&str; 8] = [
    "charts.js",
    "--bundle",
    "--minify",
    "--format=iife",
    "--global-name=echarts",
    "--target=es2020",
    "--legal-comments=inline",
    "--outfile=built.js",
];

/// Installs the packages that the lock file names, builds the file and copies the licences.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let (assets, build) = (root.join(ASSETS), root.join(BUILD));
    fs::create_dir_all(&build).map_err(|error| Failure::at(&build, &error))?;
    for source in SOURCES {
        copy(&assets.join(source), &build.join(source))?;
    }
    Step::of("npm ci --ignore-scripts --no-audit --no-fund").run(&build)?;
    let esbuild = build.join("node_modules/.bin/esbuild").display().to_string();
    Step::program(esbuild, BUNDLE.map(str::to_owned)).run(&build)?;
    let banner = read(&assets.join("banner.js"))?;
    let built = assets.join("echarts.js");
    fs::write(&built, banner + &read(&build.join("built.js"))?)
        .map_err(|error| Failure::at(&built, &error))?;
    for (from, to) in LICENCES {
        copy(&build.join("node_modules").join(from), &assets.join("licences").join(to))?;
    }
    println!("built {}", built.display());
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::at(path, &error))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::write(to, read(from)?).map_err(|error| Failure::at(to, &error))
}
