//! What a message's text begins with: `~`, when it was said, who said it and as their which, `~`.
//! Everything has its fixed place, so that reading it costs a few nanoseconds.

/// Bytes of a stamp; the shortest text a message can have.
pub(super) const LENGTH: usize = 30;
const EDGE: u8 = b'~';

/// When and by whom something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds since the generator began
    pub(super) at: u64,
    pub(super) speaker: u16,
    pub(super) number: u32,
}

impl Stamp {
    /// A text of `size` bytes, at least those of the stamp.
    pub(super) fn text(self, size: usize) -> String {
        let mut text = format!("~{:016x}{:04x}{:08x}~", self.at, self.speaker, self.number);
        text.extend(std::iter::repeat_n('x', size.saturating_sub(LENGTH)));
        text
    }

    /// The stamp in a frame, looked for at `hint` first, which is set to where it was.
    pub(super) fn find(frame: &[u8], hint: &mut u16) -> Option<Self> {
        if let Some(stamp) = Self::at(frame, usize::from(*hint)) {
            return Some(stamp);
        }
        (0..frame.len()).find_map(|place| {
            let stamp = Self::at(frame, place)?;
            *hint = u16::try_from(place).ok()?;
            Some(stamp)
        })
    }

    fn at(frame: &[u8], place: usize) -> Option<Self> {
        let bytes = frame.get(place..place + LENGTH)?;
        let edges = bytes[0] == EDGE && bytes[LENGTH - 1] == EDGE;
        edges.then(|| Self {
            at: hex(&bytes[1..17]),
            speaker: hex(&bytes[17..21]) as u16,
            number: hex(&bytes[21..29]) as u32,
        })
    }
}

fn hex(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| {
        value << 4 | u64::from((digit & 15) + if *digit > b'9' { 9 } else { 0 })
    })
}

/// The number after `"seq":` in a frame, looked for at `hint` first.
pub(super) fn sequence(frame: &[u8], hint: &mut u16) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    if !frame.get(usize::from(*hint)..).is_some_and(|rest| rest.starts_with(NAME)) {
        let place = frame.windows(NAME.len()).position(|window| window == NAME)?;
        *hint = u16::try_from(place).ok()?;
    }
    let digits = frame.get(usize::from(*hint) + NAME.len()..)?;
    let digits = digits.strip_prefix(b"\"").unwrap_or(digits);
    let number = digits.iter().take_while(|digit| digit.is_ascii_digit());
    Some(number.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_wherever_it_is() {
        let stamp = Stamp { at: 0xFEDC_BA98_7654_3210, speaker: 0xABCD, number: 0x1234_5678 };
        assert_eq!(stamp.text(120).len(), 120);
        let mut hint = 3;
        for prefix in ["", "{\"text\":\"", "~{\"text\":\""] {
            let frame = format!("{prefix}{}\"}}", stamp.text(40));
            assert_eq!(Stamp::find(frame.as_bytes(), &mut hint), Some(stamp), "{prefix}");
            assert_eq!(usize::from(hint), prefix.len());
            assert_eq!(Stamp::find(frame.as_bytes(), &mut hint), Some(stamp), "{prefix}");
        }
        assert_eq!(Stamp::find(b"{\"type\":\"typing\"}", &mut hint), None);
    }

    #[test]
    fn a_number_is_found_wherever_it_is() {
        let mut hint = 0;
        for (frame, number) in [
            (r#"{"seq":17,"text":""}"#, 17),
            (r#"{"type":"message","seq":9007199254740993}"#, 9_007_199_254_740_993),
            (r#"{"type":"message","seq":"4"}"#, 4),
        ] {
            assert_eq!(sequence(frame.as_bytes(), &mut hint), Some(number));
            assert_eq!(sequence(frame.as_bytes(), &mut hint), Some(number));
        }
        assert_eq!(sequence(b"{}", &mut hint), None);
    }
}
