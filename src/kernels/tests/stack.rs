use super::{kernels, numbers};
use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, Conv2dLayer, Epilogue, PackedFilter, computes_ahead, conv2d,
    conv2d_stack,
};

/// Sizes of three layers, the second of which pools.
fn sizes(batch: usize, size: usize) -> [Conv2dConfig; 3] {
    [
        Conv2dConfig::same(3)
            .images(batch, size, size)
            .channels(3, 32),
        Conv2dConfig::same(3)
            .images(batch, size, size)
            .channels(32, 16),
        Conv2dConfig::same(5)
            .images(batch, size / 2, size / 2)
            .channels(16, 8),
    ]
}

#[test]
fn a_stack_is_its_layers() {
    let kernel = kernels()[0];
    // The largest maps of the last three take more than a cache.
    for (batch, size) in [(0, 8), (1, 6), (3, 7), (2, 300), (9, 150), (3, 280)] {
        let geometries = sizes(batch, size).map(|config| Conv2dGeometry::new(config).unwrap());
        let filters = geometries.each_ref().map(|geometry| {
            let weights = numbers(geometry.filter_len(), 1);
            let filter = PackedFilter::forward(kernel, geometry, weights[..].into());
            (filter, weights)
        });
        let layers: Vec<_> = geometries
            .iter()
            .zip(&filters)
            .enumerate()
            .map(|(i, (geometry, (filter, weights)))| Conv2dLayer {
                geometry: *geometry,
                filter: filter.with(weights[..].into()),
                epilogue: Epilogue {
                    relu: true,
                    pool: i == 1,
                    ..Default::default()
                },
                ahead: i == 0 && computes_ahead(geometry, &geometries[1]),
            })
            .collect();
        let input = numbers(geometries[0].input_len(), 2);
        let mut expected = input.clone();
        for count in 1..=3 {
            let layer = &layers[count - 1];
            let mut next = vec![f32::NAN; layer.output_len()];
            conv2d(
                &layer.geometry,
                layer.filter,
                &expected,
                &layer.epilogue,
                &mut next,
            );
            expected = next;
            let mut output = vec![f32::NAN; expected.len()];
            conv2d_stack(&layers[..count], &input, &mut output);
            assert!(output == expected, "{batch} {size} {count}");
        }
    }
}

#[test]
fn no_layers_copy_the_input() {
    let mut output = [0.0; 3];
    conv2d_stack(&[], &[1.0, 2.0, 3.0], &mut output);
    assert_eq!(output, [1.0, 2.0, 3.0]);
}
