//! Reading a page of metrics.

/// The samples of one scrape.
#[derive(Debug)]
pub struct Page(pub String);

impl Page {
    /// The sum over every sample of this name that has all these labels; None when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let all = wanted.iter().all(|label| found.contains(label.as_str()));
            all.then(|| value.split(' ').next()?.parse::<f64>().ok()).flatten()
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}
