use crate::kernels::checksum;

#[test]
fn every_number_and_its_place_count() {
    let numbers: Vec<f32> = (0..150_001).map(|index| index as f32).collect();
    let sum = checksum(&numbers);
    for place in [0, 1, 15, 16, 65_535, 65_536, 150_000] {
        let mut changed = numbers.clone();
        changed[place] = -changed[place] - 1.0;
        assert_ne!(checksum(&changed), sum, "number {place}");
    }
    let mut swapped = numbers.clone();
    swapped.swap(3, 70_000);
    assert_ne!(checksum(&swapped), sum);
    assert_ne!(checksum(&numbers[..150_000]), sum);
    assert_eq!(checksum(&numbers), sum);
    assert_ne!(checksum(&[0.0]), checksum(&[-0.0]));
}
