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
