//! Words that several messages share.

/// "1, 2 and 3", or "none".
pub(crate) fn listed(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let mut items: Vec<String> = items.map(|item| item.to_string()).collect();
    match (items.pop(), items.is_empty()) {
        (None, _) => "none".into(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} and {last}", items.join(", ")),
    }
}

/// Up to four hexadecimal digits, and nothing else: a vendor's or a product's number.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code))]
pub(crate) fn hexadecimal(text: &str) -> Option<u16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u16::from_str_radix(text, 16).ok() } else { None }
}
