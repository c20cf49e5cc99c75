//! A case that is read wrongly would pass for the wrong reason: every mistake is found.

use winusb_cases::Table;

fn mistake(text: &str) -> String {
    Table::default().read("test", text).expect_err(text)
}

#[test]
fn mistakes_are_told_with_their_line() {
    let good = "case a [D §1]: WinUsb_Free(null) => FALSE 6\n";
    assert_eq!(Table::default().read("test", good), Ok(()));
    for (text, expected) in [
        ("case a [D §1]: WinUsb_Fre(null) => FALSE 6", "there is no function WinUsb_Fre"),
        ("case a [D §1]: WinUsb_Free() => FALSE 6", "a name should stand in the place of `)`"),
        ("case a [D §1]: WinUsb_Free(h, h) => FALSE 6", "takes 1 arguments"),
        ("case a [D §1]: WinUsb_QueryPipe(h, 0, 0) => FALSE 6", "takes 4 arguments"),
        ("case a [D §1]: WinUsb_Free(h)", "checks nothing"),
        ("case a [D §1]", "checks nothing"),
        ("case a [D §1]: WinUsb_Free(h) => FALSE", "needs a last error"),
        ("case a [D §1]: WinUsb_Free(h) => TRUE TRUE", "too much"),
        ("case a [E §1]: WinUsb_Free(h) => TRUE", "there is no mark E"),
        ("case a [D]: WinUsb_Free(h) => TRUE", "sections are missing"),
        ("case a [D somewhere]: WinUsb_Free(h) => TRUE", "no section"),
        ("case a: WinUsb_Free(h) => TRUE", "a mark is missing"),
        ("case a [D §1] from nothing: WinUsb_Free(h) => TRUE", "there is no setup nothing"),
        ("case a [D §1] off: WinUsb_Free(h) => TRUE", "`off` means nothing here"),
        ("case a b [D §1]: WinUsb_Free(h) => TRUE", "no name"),
        ("    check 1 == 1", "before the first case"),
        ("check 1 == 1", "begins with"),
        ("case a [D §1]: check 1 = 1", "no comparison"),
        ("case a [D §1]: check 1 ==", "a name is missing"),
        ("case a [D §1]: check 1 == 1x", "no number"),
        ("case a [D §1]: check 1 == ?", "means nothing here"),
        ("case a [D §1]: struct s NOTHING ; check 1 == 1", "there is no struct NOTHING"),
        ("case a [D §1]: memory m = 1234 ; check 1 == 1", "two hexadecimal digits"),
        ("case a [D §1]: WinUsb_Free(&h) => TRUE", "&h cannot be passed as Handle"),
        ("case a [D §1]: WinUsb_Free(\"h\") => TRUE", "a text cannot be passed"),
        ("case a [D §1]: WinUsbX_ChooseDevice(\"h) => TRUE", "a quote is not closed"),
        (
            "case a [D §1]: WinUsb_ControlTransfer(h, setup(1, 2), null, 0, null, null) => TRUE",
            "5 fields, not 2",
        ),
    ] {
        let told = mistake(text);
        assert!(told.contains(expected), "{text}\n  expected: {expected}\n  told: {told}");
        assert!(told.starts_with("test.cases:1: "), "{told}");
    }
    let twice = format!("{good}\n{good}");
    assert_eq!(mistake(&twice), "test.cases:3: test.cases:1 has this name, too");
}

#[test]
fn the_table_has_no_mistakes_and_no_holes() {
    let table = winusb_cases::table().expect("the table is well formed");
    assert_eq!(table.untried(), Vec::<String>::new());
    assert!(table.cases.len() >= 250, "{} cases", table.cases.len());
}
