//! Tests compare what stands here with the kernel's header, through a C compiler.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::process::Command;

/// Fails unless every C expression has the value beside it, with `<linux/usbdevice_fs.h>`.
pub(super) fn check(expressions: &[(&str, usize)]) {
    let folder =
        std::env::temp_dir().join(format!("isoch-header-{}-{}", std::process::id(), expressions.len()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let (source, program) = (folder.join("values.c"), folder.join("values"));
    let lines: String = expressions
        .iter()
        .map(|(expression, _)| format!("    printf(\"%llu\\n\", (unsigned long long)({expression}));\n"))
        .collect();
    let text = format!(
        "#include <sys/ioctl.h>\n#include <linux/usbdevice_fs.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n{lines}    return 0;\n}}\n"
    );
    std::fs::write(&source, text).expect("the folder can be written");
    let compiled = Command::new("cc").arg(&source).arg("-o").arg(&program).output();
    match compiled {
        Err(error) => {
            println!("skip  the kernel's header is not compared: no C compiler ({error})");
            return;
        }
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
    }
    let output = Command::new(&program).output().expect("what was compiled runs");
    let printed = String::from_utf8(output.stdout).expect("numbers");
    let values: Vec<usize> = printed.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(values.len(), expressions.len());
    for ((expression, ours), kernels) in expressions.iter().zip(values) {
        assert_eq!(*ours, kernels, "{expression}");
    }
    let _ = std::fs::remove_dir_all(folder);
}
