//! What the C layer costs over the Rust API, in instructions: counted by valgrind, and so the same on every machine.
//! Each bench does its call a hundred times; no thread is woken.

#![allow(missing_docs)] // what the macros generate

#[cfg(not(windows))]
use counted::layer;

#[cfg(not(windows))]
mod counted {
    use std::hint::black_box;

    use gungraun::{library_benchmark, library_benchmark_group};
    use isoch_benches::layers::{InC, InRust, TRANSFERS};

    /// A hundred requests are pending.
    fn writing() -> InC {
        let mut program = InC::new("instructions");
        program.write();
        program
    }

    #[library_benchmark]
    #[bench::write(InC::new("instructions"))]
    fn write_isoch_pipe(mut program: InC) -> InC {
        program.write();
        program
    }

    #[library_benchmark]
    #[bench::write(InRust::new())]
    fn write_in_rust(mut program: InRust) -> InRust {
        program.write();
        program
    }

    #[library_benchmark]
    #[bench::pending(writing())]
    fn get_overlapped_result(mut program: InC) -> InC {
        black_box(program.poll());
        program
    }

    #[library_benchmark]
    #[bench::c(InC::new("instructions"))]
    fn get_current_frame_number(program: InC) -> InC {
        for _ in 0..TRANSFERS {
            black_box(program.current_frame());
        }
        program
    }

    #[library_benchmark]
    #[bench::rust(InRust::new())]
    fn current_frame_in_rust(program: InRust) -> InRust {
        for _ in 0..TRANSFERS {
            black_box(program.current_frame());
        }
        program
    }

    library_benchmark_group!(
        name = layer;
        benchmarks = write_isoch_pipe, write_in_rust, get_overlapped_result, get_current_frame_number, current_frame_in_rust
    );
}

#[cfg(not(windows))]
gungraun::main!(library_benchmark_groups = layer);

/// There is no valgrind.
#[cfg(windows)]
fn main() {}
