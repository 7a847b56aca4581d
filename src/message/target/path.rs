//! Reading a raw path: escapes, `;params`, dot segments.

use std::borrow::Cow;

use super::TargetFault;

/// The path of a target, the rest of it, and whether the path is its own normal form: most are.
pub(super) fn split(target: &[u8]) -> Result<(&[u8], &[u8], bool), TargetFault> {
    let mut segment = usize::MAX;
    let mut is_normal = true;
    for (at, byte) in target.iter().enumerate() {
        if !MARKS[usize::from(*byte)] {
            continue;
        }
        match byte {
            b'?' => return Ok((&target[..at], &target[at..], is_normal)),
            0 => return Err(TargetFault::Nul),
            b'%' | b';' => is_normal = false,
            _ if at == segment => is_normal = false,
            b'/' => segment = at + 1,
            _ => {}
        }
    }
    Ok((target, &[], is_normal))
}

/// Bytes that mean something in a path, and where it ends.
static MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let mut at = 0;
    let bytes = b"/.%;?\0";
    while at < bytes.len() {
        marks[bytes[at] as usize] = true;
        at += 1;
    }
    marks
};

/// The normal form of a raw path that starts with `/`.
pub(super) fn normalise(raw: &[u8]) -> Result<Vec<u8>, TargetFault> {
    let mut normal = Vec::with_capacity(raw.len());
    rebuild(raw, &mut normal, |name, _, out| out.extend_from_slice(name))?;
    Ok(normal)
}

/// The raw path with dot segments resolved and slashes merged, all else as sent. A path that has
/// no normal form comes back as it is.
pub(super) fn resolve(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut resolved = Vec::with_capacity(raw.len());
    match rebuild(raw, &mut resolved, |_, segment, out| out.extend_from_slice(segment)) {
        Ok(()) => Cow::Owned(resolved),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// What follows the part of a resolved path whose normal form has `matched` bytes.
pub(super) fn after(resolved: &[u8], matched: usize) -> &[u8] {
    let mut at = 0;
    let mut covered = 0;
    while covered < matched && at < resolved.len() {
        match resolved[at] {
            b';' => at = segment_end(resolved, at),
            b'%' => {
                covered += escape_at(resolved, at).map_or(1, |byte| if is_kept(byte) { 3 } else { 1 });
                at += 3;
            }
            _ => {
                covered += 1;
                at += 1;
            }
        }
    }
    resolved.get(at..).unwrap_or_default()
}

/// The byte that the escape at `at`, where a `%` stands, is for.
pub(super) fn escape_at(path: &[u8], at: usize) -> Result<u8, TargetFault> {
    let digit = |offset: usize| path.get(at + offset).and_then(|digit| (*digit as char).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => u8::try_from(high * 16 + low).map_err(|_| TargetFault::Escape),
        _ => Err(TargetFault::Escape),
    }
}

pub(super) fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Walks the segments and writes those that count; `write` gets each one decoded and as sent.
fn rebuild(raw: &[u8], out: &mut Vec<u8>, write: impl Fn(&[u8], &[u8], &mut Vec<u8>)) -> Result<(), TargetFault> {
    let mut name = Vec::new();
    let mut ends_with_segment = false;
    for segment in raw.split(|byte| *byte == b'/').skip(1) {
        let name_end = memchr::memchr(b';', segment).unwrap_or(segment.len());
        name.clear();
        decode(&segment[name_end..], &mut name)?;
        name.clear();
        decode(&segment[..name_end], &mut name)?;
        ends_with_segment = false;
        match name.as_slice() {
            b"" | b"." => {}
            // What was written so far is `/a/b`: its last segment goes.
            b".." => out.truncate(memchr::memrchr(b'/', out).ok_or(TargetFault::AboveRoot)?),
            name => {
                out.push(b'/');
                write(name, segment, out);
                ends_with_segment = true;
            }
        }
    }
    if !ends_with_segment {
        out.push(b'/');
    }
    Ok(())
}

fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), TargetFault> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (byte, length) = if byte == b'%' { (escape_at(text, at)?, 3) } else { (byte, 1) };
        match byte {
            0 => return Err(TargetFault::Nul),
            _ if length == 3 && is_kept(byte) => push_escape(out, byte),
            _ => out.push(byte),
        }
        at += length;
    }
    Ok(())
}

/// Escapes that mean something else once decoded: separators, the escape itself, control bytes.
fn is_kept(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | b'%') || byte.is_ascii_control()
}

fn segment_end(path: &[u8], from: usize) -> usize {
    memchr::memchr(b'/', &path[from..]).map_or(path.len(), |length| from + length)
}
