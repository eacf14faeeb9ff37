use alloc::format;

/// Writes a line to standard error. A failure is ignored, as there is nowhere to report it.
pub(crate) fn line(text: &str) {
    let stderr = wasi::cli::stderr::get_stderr();
    // `blocking-write-and-flush` takes at most 4,096 bytes.
    for part in format!("grip: {text}\n").as_bytes().chunks(4096) {
        let _ = stderr.blocking_write_and_flush(part);
    }
}
