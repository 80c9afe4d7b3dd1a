//! `kernels`: how fast each kernel is on this machine, and what part that is of what the core can do at best.
//!
//! A table on stdout, `--json` for one JSON line a row. One thread; of several runs the fastest counts. The peak is
//! measured too: a loop that multiplies what lies in registers, whole numbers or f32. `SOTTO_INSTRUCTIONS` limits
//! our own products (see `kernels/product.rs`); f32 arithmetic is a library's, which takes the machine's best and
//! has no way to ask for less. A developer's tool.

use std::process::ExitCode;
use std::time::Instant;

use sotto_models::rates;

fn main() -> ExitCode {
    let json = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--json") => true,
        Some(_) => {
            eprintln!("usage: kernels [--json]");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let table = match rates::table(&mut || start.elapsed().as_secs_f64()) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("kernels: {error}");
            return ExitCode::FAILURE;
        }
    };
    if !json {
        println!(
            "{:42} {:>20} {:>9} {:>8}",
            "kernel", "shape", "Gop/s", "of peak"
        );
    }
    for rate in &table {
        let share = table
            .get(rate.peak)
            .map_or(f64::NAN, |peak| 100.0 * rate.giga() / peak.giga());
        if json {
            let line = serde_json::json!({"kernel": rate.kernel, "shape": rate.shape, "gop_s": rate.giga(), "of_peak_percent": share});
            println!("{line}");
        } else {
            println!(
                "{:42} {:>20} {:9.1} {share:6.0} %",
                rate.kernel,
                rate.shape,
                rate.giga()
            );
        }
    }
    ExitCode::SUCCESS
}
