// The calls of model.py's lines.
#include "demo.hpp"

#include <cstdio>
#include <cstring>
#if __cplusplus >= 202002L
#include <span>
#endif

static void line(const char *name, const void *data, std::size_t bytes) {
    std::printf("%s ", name);
    for (std::size_t i = 0; i < bytes; i++)
        std::printf("%02x", static_cast<const unsigned char *>(data)[i]);
    std::printf("\n");
}

template <class T> static void line(const char *name, const std::vector<T> &values) {
    line(name, values.data(), values.size() * sizeof(T));
}

template <class T> static void single(const char *name, const T &value) {
    line(name, &value, sizeof value);
}

template <class F> static void refused(F call) {
    try {
        call();
        std::printf("taken\n");
    } catch (const nets::demo::error &error) {
        std::printf("status %d: %s\n", static_cast<int>(error.status()), error.what());
    } catch (const std::invalid_argument &error) {
        std::printf("%s\n", error.what());
    }
}

static void show(void *, std::int32_t site, const char *text, std::int32_t count,
                 const demo_printed *values) {
    double number;
    std::memcpy(&number, values[0].data, sizeof number);
    std::printf("%d %s %d %g %d\n", static_cast<int>(site), text, static_cast<int>(count), number,
                static_cast<int>(values[1].shape[0]));
}

int main() {
    nets::demo::library demo;
    const std::array<float, 2> b{0.5f, -0.125f};
    const float w[3][2] = {{1, 2}, {-0.5f, 0.25f}, {3, -1}};
    std::vector<float> x;
    for (int i = 0; i < 12; i++) x.push_back((static_cast<float>(i) - 5) / 8);
    auto result = demo.affine(b, w, x, 1.5f);
    line("out", result.out);
    single("norm", result.norm);
    line("more", result.more_0);

    const std::uint8_t flags[5] = {1, 0, 1, 1, 0};
    const std::array<std::int32_t, 5> counts{1, -2, 3, INT32_MAX, INT32_MIN};
    const std::vector<std::uint8_t> octets{0, 1, 127, 128, 255};
    auto mixed = demo.mix(flags, counts, octets, -9007199254740993, std::vector<float>(), 1);
    line("mix0", mixed.out_0);
    line("mix1", mixed.out_1);
    line("mix2", mixed.out_2);
    single("mix3", mixed.out_3);
    line("mix4", mixed.out_4);
    single("mix5", mixed.out_5);

    const double values[4] = {0.1, 0.25, -3, 1e300};
    line("pick", demo.pick(values, std::array<std::int64_t, 2>{3, -4}));

#if __cplusplus >= 202002L
    const std::span<const float> rows(x);
#else
    const std::vector<float> &rows = x;
#endif
    const std::vector<float> y{1, -1, 0.5f, 2};
    for (int i = 0; i < 3; i++) single("fit", demo.fit(rows, y));
    auto saved = demo.save_state();
    float predicted[4];
    demo.predict(x, predicted);
    line("predict", predicted, sizeof predicted);
    line("saved", saved);
    nets::demo::library other(demo), third;
    third = other;
    nets::demo::library moved(std::move(other));
    demo.tick();
    single("fit", demo.fit(x, y));
    single("steps", demo.state().steps);
    demo.load_state(saved);
    line("predict", demo.predict(x));
    single("steps", demo.state().steps);
    demo.init_state();
    line("predict", demo.predict(x));

    if (moved.predict(x) != third.predict(x) || moved.state().steps != 3) return 1;
    refused([&] { demo.predict(std::vector<float>(11)); });
    refused([&] { demo.predict(x, nets::demo::view<float, 4>(predicted, 3)); });
    refused([&] { demo.predict({nullptr, 12}); });
    refused([&] {
        auto odd = reinterpret_cast<float *>(reinterpret_cast<char *>(x.data()) + 1);
        demo.predict({odd, 12});
    });
    refused([&] { demo.pick(values, std::array<std::int64_t, 2>{0, 7}); });
    refused([&] { demo.load_state(std::vector<unsigned char>(3)); });
    demo.set_print(show, nullptr);
    return demo.shout(1.25) == 2.25 ? 0 : 1;
}
