//! Finds the tests, so that adding one is adding one file: `src/tests/NAME.rs` with a `TEST` in it.

use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("src/tests");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    let (mut modules, mut list) = (String::new(), String::new());
    for file in &files {
        let module = file.file_stem().and_then(|stem| stem.to_str()).ok_or("a file's name is no module's")?;
        modules += &format!("#[path = {file:?}]\nmod {module};\n");
        list += &format!("    ({:?}, &{module}::TEST),\n", module.replace('_', "-"));
    }
    let text = format!("{modules}\npub(crate) static TESTS: &[(&str, &crate::test::Test)] = &[\n{list}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("tests.rs"), text)?;
    Ok(())
}
